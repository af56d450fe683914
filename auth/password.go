package auth

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// ChosenCost is bcrypt's cost for passwords that people chose: about 0.1 s of a core for each guess.
const ChosenCost = 11

// secretOctets is the length of a generated secret: nobody guesses 160 bits at any speed, so that they are hashed at
// bcrypt's lowest cost, and ten thousand laptops can come back at once after a restart.
const secretOctets = 20

// secretSigns are 32, without l, o, 0 and 1.
const secretSigns = "abcdefghijkmnpqrstuvwxyz23456789"

// tagSigns is the length of a tag: two of ten thousand devices have the same one in an account in twenty.
const tagSigns = 6

// NewSecret makes a secret of 160 random bits, in groups of four signs of which no two look alike, behind a tag of six more.
func NewSecret() string {
	var b [secretOctets + 4]byte
	rand.Read(b[:])
	encoding := base32.NewEncoding(secretSigns).WithPadding(base32.NoPadding)
	groups := []string{encoding.EncodeToString(b[secretOctets:])[:tagSigns]}
	signs := encoding.EncodeToString(b[:secretOctets])
	for i := 0; i < len(signs); i += 4 {
		groups = append(groups, signs[i:i+4])
	}
	return strings.Join(groups, "-")
}

// Tag is what stands before the first dash of a generated secret, "" for anything else. It is public: kept beside the hash, it tells
// which one of an account's many secrets this can be, so that only that one has to be compared.
func Tag(secret string) string {
	tag, _, ok := strings.Cut(secret, "-")
	if !ok || len(tag) != tagSigns || strings.Trim(tag, secretSigns) != "" {
		return ""
	}
	return tag
}

// HashPassword makes the bcrypt hash that a Store keeps. generated tells that it is a [NewSecret].
// It refuses what could not be checked faithfully: nothing, a NUL, more than [MaxPassword] octets.
func HashPassword(password []byte, generated bool) ([]byte, error) {
	switch {
	case len(password) == 0:
		return nil, errors.New("the password is empty")
	case len(password) > MaxPassword:
		return nil, errors.New("the password is longer than 72 octets, which is as far as bcrypt looks")
	case bytes.IndexByte(password, 0) >= 0:
		return nil, errors.New("the password holds a NUL, which SASL PLAIN cannot carry")
	}
	if generated {
		return bcrypt.GenerateFromPassword(password, bcrypt.MinCost)
	}
	return bcrypt.GenerateFromPassword(password, ChosenCost)
}
