package spool

import (
	"crypto/rand"
	"encoding/base32"
	"time"
)

// idAlphabet is Crockford's base 32 in lower case: its order is the order of the values, and no two signs look alike.
var idAlphabet = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID makes the id of a new message: 16 signs, 48 bits of milliseconds and 32 random bits, so that ids sort by time.
func NewID() string {
	var b [10]byte
	ms := uint64(time.Now().UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	rand.Read(b[6:])
	return idAlphabet.EncodeToString(b[:])
}
