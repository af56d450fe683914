package forward

import (
	"slices"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// generous is how many times as many places as are free one account may hold.
const generous = 8

// fair tells whether somebody who holds some places may take one more, of which so many are free: while it holds no more than eight for
// each free one beyond the last, which is for those who hold none.
//
// So whoever is alone takes 89 of 100 places, or nine of 10; two who want all of them get 47 each of 100, and whoever comes then still finds
// some. The more there are, the less each of them holds, since a place that becomes free goes to those who hold few. Nobody has to be told
// how many want places, and no attempt that runs is broken off. One place alone cannot be shared: whoever has it keeps it until the attempt ends.
func fair(held, free int) bool {
	return free > 0 && held <= generous*(free-1)
}

// A pair is the mail of an account to a destination.
type pair struct{ destination, account string }

// shares is who holds the places for deliveries. Accounts share all places, and those of one destination, so that somebody whose recipients' hops
// take minutes to answer does not keep everybody else's mail waiting, at a relay neither. What a destination may have of all places is
// perDestination, whoever writes to it: to keep the last ones for other destinations would keep accounts that share a slow one from it.
type shares struct {
	workers, perDestination int
	running                 int
	accounts                map[string]int
	destinations            map[string]int
	pairs                   map[pair]int
}

func newShares(workers, perDestination int) shares {
	return shares{workers: workers, perDestination: perDestination,
		accounts: map[string]int{}, destinations: map[string]int{}, pairs: map[pair]int{}}
}

// room tells whether a delivery of an account to a destination may begin.
func (s *shares) room(p pair) bool {
	return s.opens(p.destination) && s.serves(p.account) && s.admits(p)
}

// opens tells whether a destination may have one more delivery, of whatever account.
func (s *shares) opens(destination string) bool {
	return s.destinations[destination] < s.perDestination
}

// serves tells whether an account may have one more, to whatever destination.
func (s *shares) serves(account string) bool {
	return fair(s.accounts[account], s.workers-s.running)
}

// admits tells whether an account may have one more of those of a destination.
func (s *shares) admits(p pair) bool {
	return fair(s.pairs[p], s.perDestination-s.destinations[p.destination])
}

func (s *shares) take(p pair) {
	s.running++
	s.accounts[p.account]++
	s.destinations[p.destination]++
	s.pairs[p]++
}

func (s *shares) leave(p pair) {
	s.running--
	lessOne(s.accounts, p.account)
	lessOne(s.destinations, p.destination)
	lessOne(s.pairs, p)
}

func lessOne[K comparable](m map[K]int, key K) {
	if m[key] == 1 {
		delete(m, key)
		return
	}
	m[key]--
}

// backlog is what was claimed and found no room, in the order of the pairs' turns.
type backlog []waiting

// waiting is the mail of a pair, oldest due first.
type waiting struct {
	pair
	deliveries []spool.Delivery
}

func (b backlog) of(p pair) int {
	return slices.IndexFunc(b, func(w waiting) bool { return w.pair == p })
}

func (b *backlog) add(d spool.Delivery) {
	p := pairOf(d)
	i := b.of(p)
	if i < 0 {
		i = len(*b)
		*b = append(*b, waiting{pair: p})
	}
	(*b)[i].deliveries = append((*b)[i].deliveries, d)
}

// next takes a delivery out that has room. Its pair goes to the end of the line.
func (b *backlog) next(s *shares) (d spool.Delivery, ok bool) {
	i := slices.IndexFunc(*b, func(w waiting) bool { return s.room(w.pair) })
	if i < 0 {
		return d, false
	}
	w := (*b)[i]
	d, w.deliveries = w.deliveries[0], w.deliveries[1:]
	*b = slices.Delete(*b, i, i+1)
	if len(w.deliveries) > 0 {
		*b = append(*b, w)
	}
	return d, true
}

func pairOf(d spool.Delivery) pair { return pair{d.Destination, d.Account} }

// busy is what a claim is to skip: who has no room, and whose mail waits here already.
func (w *work) busy() (q spool.Query) {
	for d := range w.held.destinations {
		if !w.held.opens(d) {
			q.Skip = append(q.Skip, d)
		}
	}
	skip := func(account string, at ...string) {
		if q.SkipAccounts == nil {
			q.SkipAccounts = map[string][]string{}
		}
		if all, ok := q.SkipAccounts[account]; !ok || len(all) > 0 {
			q.SkipAccounts[account] = append(all, at...)
		}
	}
	for account := range w.held.accounts {
		if !w.held.serves(account) {
			skip(account)
		}
	}
	for p := range w.held.pairs {
		if !w.held.admits(p) && w.kept.of(p) < 0 {
			skip(p.account, p.destination)
		}
	}
	for _, kept := range w.kept {
		skip(kept.account, kept.destination)
	}
	return q
}

// eased tells whether a claim would now skip less than it did.
func (w *work) eased(q *spool.Query) bool {
	if slices.ContainsFunc(q.Skip, w.held.opens) {
		return true
	}
	for account, destinations := range q.SkipAccounts {
		if len(destinations) == 0 && w.held.serves(account) {
			return true
		}
		for _, d := range destinations {
			if p := (pair{d, account}); w.held.room(p) && w.kept.of(p) < 0 {
				return true
			}
		}
	}
	return false
}
