// Package forward carries kept mail onward: it claims what is due, tries the hops, and settles what became of each recipient
// (RFC 5321 §4.5.4, §5).
//
// It promises that a recipient that was delivered is not tried again, that temporary trouble never becomes a refusal before the time
// to give up has come, and that a sender is told of a failure in the same transaction that forgets the recipient.
// Accounts share the places for deliveries (fair), and mail for which nobody could be reached goes when the way is open again (ways).
// A crash between a hop's 250 and Settle sends a second copy; nothing is lost by one.
// Where mail goes is forward/route's matter, how it is handed over forward/deliver's.
package forward
