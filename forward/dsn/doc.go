// Package dsn writes delivery status notifications: the message that tells a sender what became of a recipient
// (RFC 3461, RFC 3464; RFC 6522 for its frame, RFC 6533 for addresses that are not ASCII, RFC 3834 for Auto-Submitted).
//
// It promises that nothing a client, a recipient's address or another server said can end a line, a field or a part: all
// of it is cleaned before it is written. It decides neither whom to tell nor when.
package dsn
