package spool

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
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

// DerivedID makes the id of a report from what it reports on, always the same for the same words, so that a report that is queued
// twice, because a crash fell between, is one.
func DerivedID(words ...string) string {
	sum := sha256.New()
	for _, w := range words {
		fmt.Fprintf(sum, "%d:%s", len(w), w)
	}
	return idAlphabet.EncodeToString(sum.Sum(nil)[:10])
}
