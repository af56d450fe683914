package fleet

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/tables"
)

// TestReadme holds the tables that people read against the golden file. With -update it writes the tables.
func TestReadme(t *testing.T) {
	cells, outcomes := readGolden(t)
	var clients, troubles []string
	for _, c := range cells {
		if !slices.Contains(clients, c.client) {
			clients = append(clients, c.client)
		}
		if !slices.Contains(troubles, c.trouble) {
			troubles = append(troubles, c.trouble)
		}
	}
	for page, text := range map[string]string{"../../README.md": matrix(clients, troubles, outcomes), "../../deploy/CLIENTS.md": words(clients, troubles, outcomes)} {
		tables.Hold(t, page, text, *update, "go test ./e2e/fleet -run TestReadme -update")
	}
}

// matrix is what becomes of the mail, in signs.
func matrix(clients, troubles []string, outcomes map[cell]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n|---%s|\n", strings.Join(troubles, " | "), strings.Repeat("|:-:", len(troubles)))
	for _, client := range clients {
		fmt.Fprintf(&b, "| %s |", client)
		for _, trouble := range troubles {
			fmt.Fprintf(&b, " %s |", sign(outcomes[cell{client, trouble}]))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// words are what programs tell whoever called them.
func words(clients, troubles []string, outcomes map[cell]string) string {
	var b strings.Builder
	b.WriteString("| | trouble | words |\n|---|---|---|\n")
	for _, client := range clients {
		for _, row := range told(client, troubles, outcomes) {
			fmt.Fprintf(&b, "| %s | %s | `%s` |\n", client, strings.Join(row.troubles, ", "), strings.ReplaceAll(row.words, "|", "\\|"))
		}
	}
	return b.String()
}

// sign is an outcome in a word.
func sign(outcome string) string {
	code, found := strings.CutPrefix(outcome, "exit code ")
	code, _, _ = strings.Cut(code, ":")
	switch {
	case outcome == delivered:
		return "✓"
	case outcome == later:
		return "later"
	case strings.HasPrefix(outcome, bounced):
		return "**bounces**"
	case found && strings.HasSuffix(outcome, twice):
		return code + " ×2"
	case found:
		return code
	}
	return outcome
}

// A saying is what a client says in some troubles.
type saying struct {
	troubles []string
	words    string
}

func told(client string, troubles []string, outcomes map[cell]string) (all []saying) {
	for _, trouble := range troubles {
		outcome, found := strings.CutPrefix(outcomes[cell{client, trouble}], "exit code ")
		if !found {
			continue
		}
		_, words, _ := strings.Cut(strings.TrimSuffix(outcome, twice), ": ")
		i := slices.IndexFunc(all, func(s saying) bool { return s.words == words })
		if i < 0 {
			i = len(all)
			all = append(all, saying{words: words})
		}
		all[i].troubles = append(all[i].troubles, trouble)
	}
	return all
}
