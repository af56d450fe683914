package sqlitespool

import (
	"bytes"
	"database/sql/driver"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// A sieve makes entries of the rows of listing. Most of what that costs is JSON, of which a long queue has much and a filter needs little.
type sieve struct {
	letters []byte // in lower case, that stand in each reply that the filter chooses; nil: all are read
	bare    bool   // entries that are only counted: id, account, destination, state and times
}

// newSieve is that for a filter. bare: of entries only what the filter needs is looked at.
func newSieve(f *spool.Filter, bare bool) sieve {
	s := sieve{bare: bare && f.Sender == "" && f.Reply == "" && !f.Unreached}
	for run := range strings.FieldsFuncSeq(f.Reply, func(r rune) bool { return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') }) {
		if len(run) > len(s.letters) {
			s.letters = bytes.ToLower([]byte(run))
		}
	}
	return s
}

// entry takes the columns of listing. One that the filter cannot choose may have nothing but its id and destination.
func (s *sieve) entry(v []driver.Value) spool.Entry {
	switch {
	case s.letters != nil && v[16] == nil && s.lacks(blob(v[5])):
		return spool.Entry{Envelope: spool.Envelope{ID: str(v[0])}, Destination: str(v[1])}
	case s.bare:
		return bareEntry(v)
	}
	return newEntry(v)
}

// lacks tells for sure that no reply in the JSON of recipients has the letters. Of what JSON writes otherwise than as it is, or letters of
// other alphabets that have ours as small ones, it is not sure.
func (s *sieve) lacks(text []byte) bool {
	for _, c := range text {
		if c >= 0x80 || c == '\\' {
			return false
		}
	}
	return !bytes.Contains(bytes.ToLower(text), s.letters) && !bytes.Contains(text, []byte(`"octets"`))
}

// bareEntry looks at the checksums alone.
func bareEntry(v []driver.Value) spool.Entry {
	id, destination := str(v[0]), str(v[1])
	e := spool.Entry{Envelope: spool.Envelope{ID: id, Account: str(v[9]), Arrived: time.UnixMilli(integer(v[10]))}, Destination: destination, State: spool.State(str(v[3]))}
	if sumDelivery(id, destination, blob(v[5]), marks{str(v[7]), str(v[8])}) != integer(v[6]) || sum([]byte(id), blob(v[12]), blob(v[13]), blob(v[14])) != integer(v[15]) {
		e.Arrived, e.State = time.Time{}, spool.Damaged
	}
	return e
}
