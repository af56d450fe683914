// Package policy decides what an account may do with a message: as whom it may send, to whom, how much, and what has to
// be added to or left out of its header (RFC 6409 §6 and §8).
//
// It promises that a transaction that was not accepted costs the account nothing, and that the content the client sent is never
// edited: what is missing goes on top, Bcc fields are named as spans to leave out. It keeps no mail and talks to nobody.
// A message without From passes (RFC 6409 leaves adding one to the server, and there is nothing true to add); one with
// two From fields does not, because readers differ in which of them they show.
package policy
