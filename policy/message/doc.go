// Package message looks at a message while it streams by, and says what stands in its header and what it lacks
// (RFC 5322 §3.6, RFC 6409 §8).
//
// It never changes an octet: what is missing goes on top, what must go is named as a span. It holds the header in memory,
// at most [MaxHeader], and of the body nothing but a running hash. It does not look into MIME structure.
package message
