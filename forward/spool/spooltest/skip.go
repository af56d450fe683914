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

// modelled is what is known of a delivery.
type modelled struct {
	account, destination string
	due                  time.Time
	leased               *spool.Delivery
}

// testSkipAtRandom claims with all kinds of things to skip: what is handed out may be, and as long as something is due, something is handed out.
func testSkipAtRandom(h *harness) {
	r := rand.New(rand.NewPCG(1, 2))
	accounts, destinations := []string{"alice", "bob", "carol", ""}, []string{"a.example", "b.example", "c.example"}
	some := func(of []string) (part []string) {
		for _, s := range of {
			if r.IntN(3) == 0 {
				part = append(part, s)
			}
		}
		return part
	}
	model := map[string]*modelled{}
	steps := []func(){
		func() {
			m := &modelled{account: accounts[r.IntN(4)], destination: destinations[r.IntN(3)]}
			model[h.keep(of(m.account, "x@"+m.destination), "x")] = m
			m.due = time.Now()
		},
		func() {
			q := spool.Query{Max: 1 + r.IntN(3), Lease: 10 * time.Minute, Skip: some(destinations), SkipAccounts: map[string][]string{}}
			for _, a := range some(accounts) {
				q.SkipAccounts[a] = some(destinations)
			}
			may := func(m *modelled) bool {
				return m.leased == nil && !m.due.After(time.Now()) && !slices.Contains(q.Skip, m.destination) && !q.Busy(m.account, m.destination)
			}
			var due []string
			for id, m := range model {
				if may(m) {
					due = append(due, id)
				}
			}
			for all := r.IntN(2) == 0; ; {
				got := h.tries(q)
				if len(got) == 0 && len(due) > 0 {
					h.Fatalf("nothing is handed out for %+v, though %q are due", q, due)
				}
				for _, d := range got {
					m := model[d.ID]
					if !may(m) {
						h.Fatalf("%s of %q is handed out for %+v: leased %t, due %v", d.Destination, d.Account, q, m.leased != nil, m.due)
					}
					m.leased = &d
				}
				due = slices.DeleteFunc(due, func(id string) bool { return model[id].leased != nil })
				if !all || len(due) == 0 {
					return
				}
			}
		},
		func() { // ends a lease, or some time goes by
			for _, id := range slices.Sorted(maps.Keys(model)) {
				m := model[id]
				if m.leased == nil || r.IntN(2) == 0 {
					continue
				}
				switch r.IntN(4) {
				case 0:
					h.check(h.Release(context.Background(), *m.leased))
				case 1:
					later := time.Duration(r.IntN(60)) * time.Second
					h.settle(*m.leased, 450, later)
					m.due = time.Now().Add(later)
				default:
					h.settle(*m.leased, 250, 0)
					delete(model, id)
				}
				m.leased = nil
			}
			time.Sleep(time.Duration(r.IntN(20)) * time.Second) // the bubble's clock
		},
		func() { // leases run out, or an operator is impatient
			if r.IntN(10) == 0 {
				time.Sleep(11 * time.Minute)
				for _, m := range model {
					m.leased = nil
				}
			}
			if r.IntN(5) == 0 {
				_, err := h.Change(context.Background(), spool.Order{Verb: spool.Retry}, nil)
				h.check(err)
				for _, m := range model {
					if m.leased == nil {
						m.due = time.Now()
					}
				}
			}
		},
	}
	for range 1500 {
		steps[r.IntN(len(steps))]()
	}
	time.Sleep(time.Hour)
	left := len(model)
	for n := 0; n < left; n++ {
		h.settle(h.claimOne(), 250, 0)
	}
	h.empty()
}
