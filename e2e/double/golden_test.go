package double

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"
)

// golden is the matrix as it has to be, tab separated, written by go test -tags e2e -run TestMatrix -update. Its columns are those of outcome.
const golden = "testdata/matrix.golden"

var update = flag.Bool("update", false, "write what is seen to "+golden+", and what that says to the page")

// A cell of the matrix.
type cell struct{ client, fault string }

// An outcome is what a client has told its caller, and what the double has seen of it.
type outcome struct {
	code     int    // exit code; 1 is an error of a Go package
	kept     int    // messages
	copies   int    // messages after a second call; -1: there was none
	sessions int    // connections
	acted    bool   // the client came to the place of the fault
	findings string // names of lint, with commas
	words    string
}

func (o outcome) line(c cell) string {
	return strings.Join([]string{c.client, c.fault, strconv.Itoa(o.code), strconv.Itoa(o.kept), strconv.Itoa(o.copies), strconv.Itoa(o.sessions), strconv.FormatBool(o.acted), o.findings, o.words}, "\t") + "\n"
}

// readGolden returns the cells in their order, and the outcome of each.
func readGolden(t *testing.T) (cells []cell, outcomes map[cell]outcome) {
	t.Helper()
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	outcomes = map[cell]outcome{}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 9 {
			t.Fatalf("%s: %d columns, want 9: %q", golden, len(f), line)
		}
		number := func(text string) int {
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatalf("%s: %v: %q", golden, err, line)
			}
			return n
		}
		c := cell{f[0], f[1]}
		cells = append(cells, c)
		outcomes[c] = outcome{number(f[2]), number(f[3]), number(f[4]), number(f[5]), f[6] == "true", f[7], f[8]}
	}
	return cells, outcomes
}
