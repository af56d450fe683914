package fleet

import (
	"flag"
	"os"
	"strings"
	"testing"
)

// golden is the matrix as it has to be: client, trouble and what became of the mail, tab separated. It is written by
// go test -tags e2e -run TestMatrix -update.
const golden = "testdata/matrix.golden"

var update = flag.Bool("update", false, "write what is seen to "+golden+", and its tables to README.md and deploy/CLIENTS.md")

// What became of a mail. All else is what the caller of a client without a queue is told: "exit code N: text".
const (
	delivered = "delivered"
	later     = "kept, then delivered"
	bounced   = "BOUNCED"
	twice     = "; called again, it makes a second copy" // follows what the caller is told
)

// A cell of the matrix.
type cell struct{ client, trouble string }

// readGolden returns the cells in their order, and what became of the mail in each.
func readGolden(t *testing.T) (cells []cell, outcomes map[cell]string) {
	t.Helper()
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	outcomes = map[cell]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 3 {
			t.Fatalf("%s: not client, trouble, outcome: %q", golden, line)
		}
		c := cell{f[0], f[1]}
		cells = append(cells, c)
		outcomes[c] = f[2]
	}
	return cells, outcomes
}
