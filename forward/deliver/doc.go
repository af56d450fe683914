// Package deliver talks to one hop: it hands over one message and brings back a reply for each recipient.
//
// It promises that a message that the hop may have taken is never reported as failed, that a trouble of this or that
// connection never bounces mail, that no password is sent outside TLS with a verified certificate, that what it writes
// has CRLF line ends only and one end of data, and that whatever the hop answers is bounded and printable.
//
// RFC 5321 (client side), 1047 (waiting after the dot), 1870 (SIZE), 2034 (enhanced codes), 2920 (PIPELINING),
// 3207 (STARTTLS), 3461 (DSN), 4954 (AUTH PLAIN and LOGIN), 6152 (8BITMIME), 6531 (SMTPUTF8), 8305 (two address
// families), 8689 (REQUIRETLS), 9422 (LIMITS RCPTMAX).
// It leaves out CHUNKING and BINARYMIME (RFC 3030), conversion of 8-bit content, DANE and MTA-STS.
package deliver
