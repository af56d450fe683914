package server

import (
	"bufio"
	"strings"
	"testing"
	"testing/synctest"
)

// Who looks at the number has to know which limit it was: one client's, or the server's.
func TestConnectionsTurnedAwayAreCountedByLimit(t *testing.T) {
	for reason, limit := range map[string]func(*Server){
		"address": func(s *Server) { s.PerAddress = 1 },
		"all":     func(s *Server) { s.MaxConnections = 1 },
	} {
		synctest.Test(t, func(t *testing.T) {
			h := open(t, limit)
			d := h.player(t)
			for _, want := range []string{"220 ", "421 "} {
				conn := h.dial(t, "", false)
				defer conn.Close()
				if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
					t.Fatalf("%s: got %q, %v, want %s", reason, line, err, want)
				}
			}
			if err := d.Step(t, `@counted smarthost_connections_refused_total{reason="`+reason+`"} 1`); err != nil {
				t.Error(err)
			}
		})
	}
}
