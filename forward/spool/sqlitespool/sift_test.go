package sqlitespool

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// A filter by reply passes over no row that it would choose, whatever the reply is written in.
func FuzzSieve(f *testing.F) {
	for _, seed := range [][2]string{{"mailbox busy", "MAILBOX"}, {"mailbox busy", "4.2.1 mail"}, {"caf\u00e9", "caf\u00e9"}, {"\u212aelvin", "kelvin"}, {"\xffgreylisted", "greylisted"},
		{"<tag>", "tag"}, {"a\\b\"c", "b\"c"}, {"busy", "\u0130"}, {"", "450"}, {"busy", ""}, {"octets", "octets"}, {"x", "last"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, reply, part string) {
		result := spool.Result{Address: "bob@a.example", Hop: "mx", Reply: smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: reply}}
		text, err := json.Marshal([]recipient{{Address: "bob@a.example", Last: newResult(result)}})
		if err != nil {
			t.Fatal(err)
		}
		filter := spool.Filter{Reply: part}
		s := newSieve(&filter, false)
		if filter.Matches(&spool.Entry{Last: map[string]spool.Result{"bob@a.example": result}}) && s.letters != nil && s.lacks(text) {
			t.Errorf("%q is passed over when %q is looked for", reply, part)
		}
	})
}

// What only counts counts the same as what reads everything, damaged rows included; and what cannot be chosen is not read.
func TestSieves(t *testing.T) {
	s := open(t, t.TempDir())
	for i := range 4 {
		e := letter("bob@a.example", "a.example")
		e.Account = []string{"alice", "bulk"}[i%2]
		if err := commit(s, e, nil, spool.Seal{Arrived: time.Unix(int64(i), 0)}); err != nil {
			t.Fatal(err)
		}
	}
	spoil(t, s, "UPDATE delivery SET recipients = '[]' WHERE message = (SELECT min(id) FROM message)")
	spoil(t, s, "UPDATE message SET envelope = '{}' WHERE id = (SELECT max(id) FROM message)")
	for name, f := range map[string]spool.Filter{"all": {}, "account": {Account: "bulk"}, "state": {State: spool.Damaged}, "old": {Before: time.Unix(2, 0)}, "new": {Since: time.Unix(2, 0)},
		"sender": {Sender: "*@b.example"}, "reply": {Reply: "busy"}} {
		counts := map[bool]int{}
		for _, bare := range []bool{false, true} {
			for page, err := range s.readers.pages(t.Context(), f, newSieve(&f, bare)) {
				if err != nil {
					t.Fatal(err)
				}
				for i := range page {
					if f.Matches(&page[i]) {
						counts[bare]++
					}
				}
			}
		}
		if counts[true] != counts[false] {
			t.Errorf("%s: %d are counted of %d", name, counts[true], counts[false])
		}
		dry, err := s.Change(t.Context(), spool.Order{Verb: spool.Hold, Filter: f, DryRun: true}, nil)
		if err != nil || dry.Seen == 0 || dry.Changed+dry.Skipped != counts[false] {
			t.Errorf("%s: a dry run finds %+v, %v; want %d", name, dry, err, counts[false])
		}
	}
	filter := spool.Filter{Reply: "busy"}
	for page, err := range s.readers.pages(t.Context(), filter, newSieve(&filter, false)) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			if diff := cmp.Diff(spool.Entry{Envelope: spool.Envelope{ID: e.ID}, Destination: "a.example"}, e); diff != "" {
				t.Errorf("it was read (-want +got):\n%s", diff)
			}
		}
	}
	if !strings.Contains(string(newSieve(&spool.Filter{Reply: "450 4.2.1 Mailbox busy"}, false).letters), "mailbox") {
		t.Error("the letters are not the longest")
	}
}
