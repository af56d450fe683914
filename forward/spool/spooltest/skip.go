package spooltest

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// of is a letter of an account.
func of(account string, to ...string) *spool.Envelope {
	e := letter(to...)
	e.Account = account
	return e
}

// tries claims what is due now, and may find nothing. It is for tests in a bubble, where a claim that finds something takes no time.
func (h *harness) tries(q spool.Query) []spool.Delivery {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	ds, err := h.Claim(ctx, q)
	if err != nil {
		return nil
	}
	return ds
}

// An account that is busy is skipped, at some destinations or everywhere; its mail holds up nobody's, and is there when the account is free again.
func testSkipAccounts(h *harness) {
	busy := map[string][]string{"alice": {"a.example", "c.example"}}
	for range 3 {
		h.keep(of("alice", "bob@a.example"), "x")
	}
	h.keep(of("alice", "bob@b.example"), "x")
	h.keep(of("bob", "carol@a.example"), "x")
	h.keep(of("", "alice@a.example"), "x")
	names := func(ds []spool.Delivery) (all []string) {
		for _, d := range ds {
			all = append(all, d.Account+" "+d.Destination)
			h.settle(d, 250, 0)
		}
		slices.Sort(all)
		return all
	}
	h.same("of nobody busy", names(h.tries(spool.Query{Max: 10, Lease: time.Minute, Skip: []string{"b.example"}, SkipAccounts: map[string][]string{"alice": nil, "bob": {"a.example"}}})),
		[]string{" a.example"})
	h.same("of alice elsewhere", names(h.tries(spool.Query{Max: 10, Lease: time.Minute, SkipAccounts: busy})), []string{"alice b.example", "bob a.example"})
	h.same("nothing", names(h.tries(spool.Query{Max: 10, Lease: time.Minute, SkipAccounts: busy})), []string(nil))

	// A claim that waits is woken by another account's mail.
	h.keep(of("alice", "bob@a.example"), "x")
	got := make(chan []spool.Delivery)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		ds, err := h.Claim(ctx, spool.Query{Max: 10, Lease: time.Minute, SkipAccounts: busy})
		if err != nil {
			h.Error(err)
		}
		got <- ds
	}()
	h.keep(of("bob", "carol@a.example"), "x")
	h.same("woken for", names(<-got), []string{"bob a.example"})

	// What is given back while the account is busy is not lost.
	d := h.claimOne()
	h.same("nothing", names(h.tries(spool.Query{Max: 10, Lease: time.Minute, SkipAccounts: busy})), []string(nil))
	h.check(h.Release(context.Background(), d))
	h.same("nothing", names(h.tries(spool.Query{Max: 10, Lease: time.Minute, SkipAccounts: busy})), []string(nil))
	h.same("a part", names(h.tries(spool.Query{Max: 2, Lease: time.Minute})), []string{"alice a.example", "alice a.example"})
	h.same("the rest", names(h.tries(spool.Query{Max: 10, Lease: time.Minute})), []string{"alice a.example", "alice a.example"})
	h.empty()
}

// testSkipAtRandom claims with all kinds of things to skip: what is handed out may be, and as long as something is due, something is handed out.
func testSkipAtRandom(h *harness) {
	s := &skipModel{harness: h, r: rand.New(rand.NewPCG(1, 2)), byID: map[string]*modelled{}}
	steps := []func(){s.enqueue, s.claimSome, s.endSome, s.expireOrRetry}
	for range 1500 {
		steps[s.r.IntN(len(steps))]()
	}
	time.Sleep(time.Hour)
	left := len(s.byID)
	for n := 0; n < left; n++ {
		h.settle(h.claimOne(), 250, 0)
	}
	h.empty()
}

// A skipModel knows what the store has to hold after each of its steps.
type skipModel struct {
	*harness
	r    *rand.Rand
	byID map[string]*modelled
}

// modelled is what is known of a delivery.
type modelled struct {
	account, destination string
	due                  time.Time
	leased               *spool.Delivery
}

var (
	modelAccounts     = []string{"alice", "bob", "carol", ""}
	modelDestinations = []string{"a.example", "b.example", "c.example"}
)

// some is a third of them by chance.
func (s *skipModel) some(of []string) (part []string) {
	for _, word := range of {
		if s.r.IntN(3) == 0 {
			part = append(part, word)
		}
	}
	return part
}

func (s *skipModel) enqueue() {
	m := &modelled{account: modelAccounts[s.r.IntN(4)], destination: modelDestinations[s.r.IntN(3)]}
	s.byID[s.keep(of(m.account, "x@"+m.destination), "x")] = m
	m.due = time.Now()
}

func (s *skipModel) claimSome() {
	q := spool.Query{Max: 1 + s.r.IntN(3), Lease: 10 * time.Minute, Skip: s.some(modelDestinations), SkipAccounts: map[string][]string{}}
	for _, a := range s.some(modelAccounts) {
		q.SkipAccounts[a] = s.some(modelDestinations)
	}
	may := func(m *modelled) bool {
		return m.leased == nil && !m.due.After(time.Now()) && !slices.Contains(q.Skip, m.destination) && !q.Busy(m.account, m.destination)
	}
	var due []string
	for id, m := range s.byID {
		if may(m) {
			due = append(due, id)
		}
	}
	for all := s.r.IntN(2) == 0; ; {
		got := s.tries(q)
		if len(got) == 0 && len(due) > 0 {
			s.Fatalf("nothing is handed out for %+v, though %q are due", q, due)
		}
		for _, d := range got {
			m := s.byID[d.ID]
			if !may(m) {
				s.Fatalf("%s of %q is handed out for %+v: leased %t, due %v", d.Destination, d.Account, q, m.leased != nil, m.due)
			}
			m.leased = &d
		}
		due = slices.DeleteFunc(due, func(id string) bool { return s.byID[id].leased != nil })
		if !all || len(due) == 0 {
			return
		}
	}
}

// endSome ends half of the leases in one way or another, and lets some time go by.
func (s *skipModel) endSome() {
	for _, id := range slices.Sorted(maps.Keys(s.byID)) {
		m := s.byID[id]
		if m.leased == nil || s.r.IntN(2) == 0 {
			continue
		}
		switch s.r.IntN(4) {
		case 0:
			s.check(s.Release(context.Background(), *m.leased))
		case 1:
			later := time.Duration(s.r.IntN(60)) * time.Second
			s.settle(*m.leased, 450, later)
			m.due = time.Now().Add(later)
		default:
			s.settle(*m.leased, 250, 0)
			delete(s.byID, id)
		}
		m.leased = nil
	}
	time.Sleep(time.Duration(s.r.IntN(20)) * time.Second) // the bubble's clock
}

// expireOrRetry has all leases run out, or an operator who is impatient.
func (s *skipModel) expireOrRetry() {
	if s.r.IntN(10) == 0 {
		time.Sleep(11 * time.Minute)
		for _, m := range s.byID {
			m.leased = nil
		}
	}
	if s.r.IntN(5) == 0 {
		_, err := s.Change(context.Background(), spool.Order{Verb: spool.Retry}, nil)
		s.check(err)
		for _, m := range s.byID {
			if m.leased == nil {
				m.due = time.Now()
			}
		}
	}
}
