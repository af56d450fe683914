// Package spool is the contract of the queue: what keeps accepted mail between the client's final dot and the next hop's 250.
// The engines are in folders of their own, one each, and all pass the suite in spooltest.
//
// # What it promises
//
// A message is kept once Draft.Commit has returned nil: it then survives a crash of the process and a power cut (RFC 5321 §6.1 makes
// the server answer for it from its 250 on). Before that nothing is kept. It is forgotten only when each of its recipients has been settled:
// delivered, or failed for good and reported. A message that cannot be read back is set aside, shown and never deleted.
//
// Delivery is at least once: a crash between the next hop's 250 and the end of Settle delivers again. Between them is the only such gap,
// so callers settle at once, before the next command to the hop.
//
// # The unit
//
// The body and the envelope of a message are kept once. What is claimed, tried, and settled is a delivery: one message for one destination
// (Recipient.Destination), with its own attempts, due time and lease. Settle records one result per recipient.
//
// # States
//
//	state     how it gets here                         what ends it                    after a crash
//	arriving  Create, Write                            Commit: queued; Abort: gone     gone
//	queued    Commit: one delivery per destination     Claim: leased                   due at once
//	leased    Claim                                    Settle, Release; lease runs     queued or waiting, due at once
//	                                                   out: due again
//	waiting   Settle leaves a recipient undone (4xx)   Claim, when due                 as written
//	held      Change(Hold), a Rule                     Change(Unhold)                  as written
//	done      Settle leaves no recipient undone:       –                               –
//	          the delivery goes, the last one takes
//	          message and body with it
//	damaged   a checksum or a parse fails, Damage      Change(Remove)                  as written
//
// # Who calls what, in which order
//
// The receiving side calls Create at DATA (or the first BDAT), Write for the content, then Commit or Abort; Abort is deferred.
// A draft belongs to one goroutine, drafts are independent of each other.
//
// The forwarding side calls Claim, opens Body for each attempt, and ends each lease with exactly one Settle or Release.
// An attempt that outlasts the lease is prolonged by Extend at a third of it.
// Each claim hands out a new fence. Whoever was late and holds an old one gets ErrFenced from Extend, Release and Settle;
// nothing is recorded then, because somebody else has the delivery.
//
// Reports (RFC 3464) are queued by the Settle that causes them, in the same transaction and with the durability of Commit, so that
// a failed recipient is never forgotten before its report is kept. Their ids are derived by the caller, so that a repeated Settle makes no second one.
//
// # Operators
//
// Change does something to all deliveries that a Filter chooses, a piece at a time, so that mail never waits for it. A delivery that is leased is marked, and the
// mark holds when the lease ends, however it ends: nothing is broken off, delivered twice or lost. What shall be reported to the sender, or forgotten
// after its lease, gets a Fate, which the forwarding side carries out as it would a permanent reply.
//
// Each Settle, and each end that an operator makes, is kept for a while as history (Trace): what was said, by whom, about whom, when.
package spool
