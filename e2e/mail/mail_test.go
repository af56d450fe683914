//go:build e2e

package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// pythonMails are the message files of CPython's email tests, from Debian's libpython3.11-testsuite.
const pythonMails = "/usr/lib/python3.11/test/test_email/data/msg_*.txt"

// otherwise are the mails that the two readers take differently, and why ours does.
var otherwise = map[string]string{
	"msg_15.txt": "blanks at the end of a line of quoted-printable were put there on the way (RFC 2045 §6.7), and Python keeps them",
	"msg_37.txt": "a part between two boundaries may be empty (RFC 2046 §5.1.1), and Python leaves it out",
	"msg_42.txt": "a closing boundary alone is no multipart, and is shown as it is",
}

// Mail made to trouble readers is read as CPython reads it: the same parts, types, file names and octets.
func TestReadsAsPythonDoes(t *testing.T) {
	files, err := filepath.Glob(pythonMails)
	if err != nil || len(files) < 46 {
		t.Fatalf("%d files match %s, want the 46 and more of libpython3.11-testsuite: %v", len(files), pythonMails, err)
	}
	said, err := exec.Command("python3", append([]string{"testdata/describe.py"}, files...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var python map[string][]string
	if err := json.Unmarshal(said, &python); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		diff := cmp.Diff(python[file], described(&smarthosttest.Message{Raw: raw}))
		why, known := otherwise[filepath.Base(file)]
		switch {
		case known && diff == "":
			t.Errorf("%s is read in the same way, but: %s", file, why)
		case !known && diff != "":
			t.Errorf("%s (-python +ours):\n%s", file, diff)
		}
	}
}

// described says of a message what describe.py says.
func described(m *smarthosttest.Message) []string {
	var parts []string
	for p := range m.Root().All() {
		line := p.Type
		if line == "message/delivery-status" || line == "message/external-body" {
			parts = append(parts, line)
			continue
		}
		if len(p.Parts) == 0 {
			content, _ := p.Content()
			content = bytes.TrimRight(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")), "\n")
			line += fmt.Sprintf(" %x", sha256.Sum256(content))[:17]
		}
		parts = append(parts, line+" "+p.FileName)
	}
	return parts
}
