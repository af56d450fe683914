package smarthosttest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// described is what the package reads in a message, for the golden files beside the mails.
func described(m *Message) string {
	var b strings.Builder
	for _, f := range m.Headers() {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value())
	}
	for _, name := range []string{"From", "To", "Cc", "Reply-To"} {
		for _, a := range m.Addresses(name) {
			fmt.Fprintf(&b, "%s address %q %q\n", name, a.Name, a.Address)
		}
	}
	if date, err := m.Date(); err == nil {
		fmt.Fprintf(&b, "date %s\n", date.UTC())
	}
	if id := m.MessageID(); id != "" {
		fmt.Fprintf(&b, "id %q\n", id)
	}
	for p := range m.Root().All() {
		fmt.Fprintf(&b, "part %s %s", p.ID, p.Type)
		for _, of := range []string{p.Disposition, p.FileName, p.ContentID} {
			fmt.Fprintf(&b, " %q", of)
		}
		if len(p.Parts) == 0 {
			content, _ := p.Content()
			fmt.Fprintf(&b, " %q", content)
		}
		b.WriteString("\n")
	}
	for _, p := range m.Attachments() {
		fmt.Fprintf(&b, "attachment %s\n", p.ID)
	}
	for _, p := range m.Inline() {
		fmt.Fprintf(&b, "inline %s\n", p.ID)
	}
	fmt.Fprintf(&b, "text %q\nhtml %q\n", m.Text(), m.HTML())
	for _, l := range m.Links() {
		fmt.Fprintf(&b, "link %s %q\n", l.URL, l.Text)
	}
	if err := m.Err(); err != nil {
		fmt.Fprintf(&b, "wrong:\n%s\n", err)
	}
	return b.String()
}

// corpus calls f for each mail of testdata/mail, whose lines end in LF there.
func corpus(t testing.TB, f func(name string, raw []byte)) {
	t.Helper()
	mails, err := filepath.Glob("testdata/mail/*.eml")
	if err != nil || len(mails) == 0 {
		t.Fatal("no mails: ", err)
	}
	for _, path := range mails {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f(strings.TrimSuffix(path, ".eml"), raw)
	}
}

// What is read in each mail stands in the .txt beside it.
func TestCorpus(t *testing.T) {
	t.Parallel()
	corpus(t, func(name string, raw []byte) {
		want, err := os.ReadFile(name + ".txt")
		if err != nil {
			t.Error(err)
		}
		got := described(&Message{Raw: bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))})
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		unix := described(&Message{Raw: raw})
		if diff := cmp.Diff(strings.ReplaceAll(got, `\r\n`, `\n`), strings.ReplaceAll(unix, `\r\n`, `\n`)); diff != "" {
			t.Errorf("%s with LF (-CRLF +LF):\n%s", name, diff)
		}
	})
}
