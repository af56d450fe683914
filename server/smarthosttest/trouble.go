package smarthosttest

import (
	"fmt"
	"slices"
)

// A Trouble is something that the server stands on and that is broken. The replies are the production server's own.
type Trouble string

// The troubles.
const (
	StorageFull    Trouble = "storage full"    // no message can be begun: 452
	StorageFilling Trouble = "storage filling" // the space runs out while a message is received: 452
	StorageBroken  Trouble = "storage broken"  // no message can be begun: 451
	StorageFailing Trouble = "storage failing" // no message can be completed: 451
	AccountsDown   Trouble = "accounts down"   // nobody can be looked up: 454 to AUTH
	NoCertificate  Trouble = "no certificate"  // STARTTLS ends the connection with 421
)

var troubles = []Trouble{StorageFull, StorageFilling, StorageBroken, StorageFailing, AccountsDown, NoCertificate}

// Break puts the server into trouble, until Mend. A second trouble of the storage takes the place of the first.
func (s *Server) Break(t Trouble) error {
	switch t {
	case AccountsDown:
		s.accounts.setDown(true)
	case NoCertificate:
		s.uncertified.Store(true)
	default:
		if !slices.Contains(troubles, t) {
			return fmt.Errorf("smarthosttest: no trouble is called %q; there are %q", t, troubles)
		}
		s.store.setTrouble(t)
	}
	return nil
}

// Mend ends all troubles.
func (s *Server) Mend() {
	s.accounts.setDown(false)
	s.uncertified.Store(false)
	s.store.setTrouble("")
}

func (a *accounts) setDown(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
}

func (s *store) setTrouble(t Trouble) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = t
}
