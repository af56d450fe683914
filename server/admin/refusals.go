package admin

import (
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/seed-1397b510/smarthost/server/web"
)

// keptRefusals is how many refusals are remembered, newest first.
const keptRefusals = 1000

// A Refusal is what a client was told instead of yes.
type Refusal struct {
	Number  uint64     `json:"number"` // counts from the start of the server
	At      time.Time  `json:"at"`
	Session string     `json:"session"` // stands in the reply and in the log; "" before there is one
	Address netip.Addr `json:"address"`
	Stage   string     `json:"stage"`   // connection, AUTH, MAIL, RCPT or DATA
	Account string     `json:"account"` // who has logged in, or whom the client claims to be
	Device  string     `json:"device"`
	Hello   string     `json:"hello"`
	From    string     `json:"from"`
	Code    int        `json:"code"`
	Reply   string     `json:"reply"`
}

// Refusals are the last ones. The zero Refusals are none and ready. All methods may be called at the same time.
type Refusals struct {
	mu    sync.Mutex
	ring  []Refusal
	total uint64
}

// Add notes one, and forgets the oldest if there are too many. It sets r.Number.
func (f *Refusals) Add(r Refusal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total++
	r.Number = f.total
	if len(f.ring) < keptRefusals {
		f.ring = append(f.ring, r)
		return
	}
	f.ring[(f.total-1)%keptRefusals] = r
}

// Before lists at most limit refusals with a number below before, newest first; 0 is the newest of all.
func (f *Refusals) Before(before uint64, limit int) []Refusal {
	f.mu.Lock()
	defer f.mu.Unlock()
	if before == 0 || before > f.total {
		before = f.total + 1
	}
	list := []Refusal{}
	for n := before - 1; n > 0 && f.total-n < keptRefusals && len(list) < limit; n-- {
		list = append(list, f.ring[(n-1)%keptRefusals])
	}
	return list
}

// RefusalPage is the answer of /api/v1/refusals.
type RefusalPage struct {
	Refusals []Refusal `json:"refusals"`
	Next     uint64    `json:"next"` // what to ask before= for, for older ones; 0: there are none
}

func (s *Server) listRefusals(w http.ResponseWriter, r *request) error {
	q, err := query(r, "before", "limit")
	if err != nil {
		return err
	}
	limit, err := limitOf(q)
	if err != nil {
		return err
	}
	var before uint64
	if text := q.Get("before"); text != "" {
		if before, err = strconv.ParseUint(text, 10, 64); err != nil {
			return badParameter("before", "must be the number of a refusal")
		}
	}
	page := RefusalPage{Refusals: s.Refusals.Before(before, limit)}
	if n := len(page.Refusals); n == limit {
		page.Next = page.Refusals[n-1].Number
	}
	web.Answer(w, http.StatusOK, page)
	return nil
}
