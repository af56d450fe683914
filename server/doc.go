// Package server is the door of the house: it takes mail from clients that log in, and answers for it from the moment it says 250.
//
// A client's connection goes through server/guard, which owns TLS, framing, limits and deadlines, and through go-smtp, which owns the
// order of commands. This package is what they ask: who may log in (package auth), what may be sent (package policy), and where it is kept
// (package forward/spool). It owns the words of the replies (replies.go) and the memory of clients (grace.go).
//
// # What it promises
//
//   - 250 after the final dot means that the spool has made the message durable. Any fault before that is 451 or 452, and nothing is kept.
//     A message that was cut off is no message. The same message sent again is answered 250 with the first one's id and not queued twice.
//   - Nothing is relayed for a client that is not inside TLS and has not logged in, whatever the layers below let through.
//   - A passing trouble does not become a bounce. Clients that fail at TLS go on in clear, and clients that are refused at AUTH go on without it;
//     where there is evidence of such a trouble MAIL is refused with 451 and not with 530, so that the client keeps its mail. RFC 6409 §4.3 and
//     RFC 4954 §6 name 530; the refusal is still a refusal. [Settings.Unauthenticated] switches the rule off, or makes it general.
//   - AUTH is offered inside TLS whatever the state of the accounts, and EHLO is never refused, since clients take both as leave to send without a login.
//   - Every refusal is made for a stranger who sees that line alone. No cause of ours, no octet of the client's that is not printable, is in a reply.
//   - One event is one line of the log, bound to the session's id. Credentials and content are never in it.
//
// # Which RFCs
//
// RFC 5321 (SMTP), 6409 (submission), 8314 and 3207 (TLS), 4954 with 4616 (AUTH PLAIN; LOGIN for clients that know nothing else), 1870 (SIZE),
// 2920 (PIPELINING), 2034 and 3463 (enhanced codes), 3030 (CHUNKING), 3461 (DSN), 6152 (8BITMIME), 6531 (SMTPUTF8), 8689 (REQUIRETLS), 9422 (LIMITS),
// 3848 (the words behind with in Received).
//
// # What was decided against
//
// Where an item of the checklist that the tests name by number is not done, or is another's doing, it stands here.
//
//   - checklist 29: 454 to STARTTLS without a certificate (RFC 3207 §4). A client that is told so goes on in clear and gets 530. The guard ends the
//     connection with 421, which every client takes for a passing trouble.
//   - checklist 38, 39: no compression, no renegotiation, and session tickets whose keys change daily are what crypto/tls does; there is no way to
//     make it do otherwise, and nothing of ours to test.
//   - checklist 74, 83: BINARYMIME (RFC 3030 §3), DELIVERBY (RFC 2852), MT-PRIORITY (RFC 6710), FUTURERELEASE (RFC 4865) are not offered; their
//     parameters are 555. REQUIRETLS (RFC 8689) is offered only with a relay: the way to an MX is not authenticated, so that it could not be kept there.
//   - checklist 92: a message without From passes. RFC 6409 §8 lets a server add what is missing, and there is nothing true to add.
//   - 421 for an account's own limit, and closing after a failed AUTH: the client then shows its user a broken connection and not the reason.
//   - Lookups of names between accept and greeting: the greeting would wait for somebody else's server.
package server
