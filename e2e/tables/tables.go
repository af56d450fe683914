// Package tables holds pages for people to what tests have seen. A page has its tables between two lines that mark them.
package tables

import (
	"os"
	"strings"
	"testing"
)

const mark = "<!-- matrix -->\n"

// Hold looks for the tables between the marks of a page, or writes them there. update is the command that writes them, for whoever reads that
// they differ.
func Hold(t *testing.T, page, tables string, write bool, update string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), mark)
	if len(parts) != 3 {
		t.Fatalf("%s has %d lines %q, want 2", page, len(parts)-1, strings.TrimSpace(mark))
	}
	switch {
	case parts[1] == tables:
	case write:
		if err := os.WriteFile(page, []byte(parts[0]+mark+tables+mark+parts[2]), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s does not show what was seen; %s writes it:\n%s", page, update, tables)
	}
}
