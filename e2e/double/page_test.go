package double

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/tables"
)

// TestPage holds the tables of the page against the golden file. With -update it writes them.
func TestPage(t *testing.T) {
	tables.Hold(t, "../../deploy/testing/CLIENTS.md", matrix(readGolden(t)), *update, "go test ./e2e/double -run TestPage -update")
}

// matrix is the outcomes in signs, and what clients say and the double finds.
func matrix(cells []cell, outcomes map[cell]outcome) string {
	var clients, faults []string
	for _, c := range cells {
		if !slices.Contains(clients, c.client) {
			clients = append(clients, c.client)
		}
		if !slices.Contains(faults, c.fault) {
			faults = append(faults, c.fault)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| fault | %s |\n|---%s|\n", strings.Join(clients, " | "), strings.Repeat("|:-:", len(clients)))
	for _, fault := range faults {
		fmt.Fprintf(&b, "| %s |", fault)
		for _, client := range clients {
			fmt.Fprintf(&b, " %s |", sign(outcomes[cell{client, fault}]))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n<details><summary>What each client says</summary>\n\n| | fault | words |\n|---|---|---|\n")
	for _, client := range clients {
		for _, s := range grouped(client, faults, outcomes, func(o outcome) string { return o.words }) {
			fmt.Fprintf(&b, "| %s | %s | `%s` |\n", client, strings.Join(s.faults, ", "), strings.ReplaceAll(s.words, "|", "\\|"))
		}
	}
	b.WriteString("\n</details>\n\n<details><summary>What lint finds</summary>\n\n| | fault | findings |\n|---|---|---|\n")
	for _, client := range clients {
		for _, s := range grouped(client, faults, outcomes, func(o outcome) string { return o.findings }) {
			if len(s.faults) > 8 { // the rest of them is no news
				s.faults = append(s.faults[:8:8], fmt.Sprintf("and %d more", len(s.faults)-8))
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", client, strings.Join(s.faults, ", "), strings.ReplaceAll(s.words, ",", ", "))
		}
	}
	b.WriteString("\n</details>\n")
	return b.String()
}

// sign is an outcome in a word.
func sign(o outcome) string {
	text := "✓"
	switch {
	case o.code == 0 && o.kept == 0:
		text = "**lost**"
	case o.code != 0:
		text = strconv.Itoa(o.code)
	}
	if o.code != 0 && o.kept > 0 {
		text += " kept"
	}
	if o.copies > 1 {
		text += " ×" + strconv.Itoa(o.copies)
	}
	if !o.acted {
		text += " –"
	}
	return text
}

// A saying is what there is to say of a client in some faults.
type saying struct {
	faults []string
	words  string
}

func grouped(client string, faults []string, outcomes map[cell]outcome, words func(outcome) string) (all []saying) {
	for _, fault := range faults {
		what := words(outcomes[cell{client, fault}])
		if what == "" {
			continue
		}
		i := slices.IndexFunc(all, func(s saying) bool { return s.words == what })
		if i < 0 {
			i = len(all)
			all = append(all, saying{words: what})
		}
		all[i].faults = append(all[i].faults, fault)
	}
	return all
}
