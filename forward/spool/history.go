package spool

import (
	"strings"
	"time"
)

// BareMessageID is a Message-ID without its angle brackets, space, and what follows.
func BareMessageID(s string) string {
	s = strings.TrimSpace(s)
	if to := strings.LastIndexByte(s, '>'); to > 0 && s[0] == '<' {
		return s[1:to]
	}
	return s
}

// A Try is what one hop said about one recipient: an attempt may try several hops, and the last one's word becomes the Result.
type Try struct {
	Result
	TLS  string        // version, like "TLS 1.3"; "" if the conversation was in clear or did not get that far
	At   time.Time     // when the hop was turned to
	Took time.Duration // until it was done
}

// An Attempt is what one Settlement recorded, or the end that an operator made.
type Attempt struct {
	At          time.Time // when it was settled
	Destination string
	Tries       []Try     // in their order; replies cut to 512 octets
	Next        time.Time // when what stayed undone was due again; zero if nothing did
	Reports     []string  // ids of the reports that were queued with it
}

// A Story is all that is known of one message.
type Story struct {
	Envelope            // Recipients: those still undone
	MessageID string    // Seal.MessageID, bare
	Ended     time.Time // when the last recipient was settled; zero while the message is in the queue
	Entries   []Entry   // what is still in the queue
	Attempts  []Attempt // oldest first
	Orders    []Ordered // oldest first; of each delivery the last 32
}
