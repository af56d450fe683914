// Package route finds the hops of a destination: the hosts to hand its mail to, in the order in which to try them.
//
// It promises that what DNS cannot tell now is answered with 4xx and only what DNS says for certain with 5xx, that
// equally good hosts share the load, that mail does not circle between us and ourselves, and that no answer from DNS
// makes the work unbounded or leads a connection to this machine.
//
// RFC 5321 §5.1 (MX, implicit MX, loops), RFC 7505 (null MX), RFC 5890 (A-labels), RFC 5321 §4.1.3 (address literals).
// It leaves out DANE (RFC 7672) and MTA-STS (RFC 8461): MX hops are reached with opportunistic TLS.
package route
