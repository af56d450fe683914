package smarthosttest

import (
	"encoding/json"
	"fmt"
	"time"
)

// Refill gives back what limits refill in so long a time, as if it had passed. Nothing else grows older with it. A server in memory needs no such
// thing inside a testing/synctest bubble.
func (v view) Refill(elapsed time.Duration) error {
	if elapsed < 0 {
		return fmt.Errorf("smarthosttest: refill after %s: time does not go back", elapsed)
	}
	var use struct {
		Version  int                        `json:"version"`
		Time     time.Time                  `json:"time"`
		Accounts map[string]json.RawMessage `json:"accounts"`
	}
	if err := json.Unmarshal(v.server.limits.Snapshot(), &use); err != nil {
		return fmt.Errorf("smarthosttest: read what limits have counted: %w", err)
	}
	for name := range use.Accounts {
		if v.user != "" && name != v.user {
			delete(use.Accounts, name)
		}
	}
	use.Time = use.Time.Add(-elapsed)
	text, err := json.Marshal(use)
	if err != nil {
		return fmt.Errorf("smarthosttest: write what limits have counted: %w", err)
	}
	return v.server.limits.Restore(text)
}
