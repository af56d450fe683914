package admin

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	refusedLines  = 20              // that are logged in a minute, of each kind; the others are counted
	refusedEvery  = time.Minute     // how often the count is told
	freeGuesses   = 20              // wrong tokens of an address, after which it has to wait
	guessEvery    = 3 * time.Second // and may try again one more
	maxRemembered = 1 << 12         // addresses
	maxKnown      = 1 << 8          // tokens that were right
)

// refusedLog keeps requests that are refused, which anybody can make as many of as he likes, from filling the log. Kinds are words of this
// server's own, and few.
type refusedLog struct {
	mu    sync.Mutex
	count map[string]int // since the last turn
}

// more tells whether one more of a kind is logged.
func (l *refusedLog) more(kind string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == nil {
		l.count = map[string]int{}
	}
	l.count[kind]++
	return l.count[kind] <= refusedLines
}

// turn begins a new minute, and logs how many were not logged in the last one.
func (l *refusedLog) turn(log zerolog.Logger) {
	l.mu.Lock()
	last := l.count
	l.count = nil
	l.mu.Unlock()
	for kind, n := range last {
		if n > refusedLines {
			log.Warn().Str("status", kind).Int("requests", n-refusedLines).Msg("more admin requests were refused in the last minute")
		}
	}
}

// run turns every minute until ctx ends.
func (l *refusedLog) run(ctx context.Context, log zerolog.Logger) {
	tick := time.NewTicker(refusedEvery)
	defer tick.Stop()
	defer l.turn(log)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.turn(log)
		}
	}
}

// guesses slows down who tries tokens: each address by itself, so that nobody is kept out for what others do. This machine and Unix sockets
// are not slowed down, so that the operator always has a way in, nor are tokens that were right before: behind a proxy everybody has the same
// address. A token has 160 random bits, and what this spares is the log and the file.
type guesses struct {
	mu    sync.Mutex
	by    *lru.Cache[netip.Prefix, *rate.Limiter]
	right map[[sha256.Size]byte]bool // hashes of tokens
}

// know remembers a token that is right. When there are too many, any other is forgotten, and waits with the others.
func (g *guesses) know(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.right == nil {
		g.right = map[[sha256.Size]byte]bool{}
	}
	key := sha256.Sum256([]byte(token))
	for other := range g.right {
		if len(g.right) < maxKnown || g.right[key] {
			break
		}
		delete(g.right, other)
	}
	g.right[key] = true
}

// known tells whether a token was right when it last came.
func (g *guesses) known(token string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.right[sha256.Sum256([]byte(token))]
}

func (g *guesses) unknow(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.right, sha256.Sum256([]byte(token)))
}

// limiter is that of a caller's address; nil: it has none.
func (g *guesses) limiter(remote string) *rate.Limiter {
	at, err := netip.ParseAddrPort(remote)
	if err != nil || at.Addr().Unmap().IsLoopback() {
		return nil
	}
	bits, a := 32, at.Addr().Unmap().WithZone("")
	if a.Is6() {
		bits = 64 // what one host can use
	}
	network, _ := a.Prefix(bits) // of a right length
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.by == nil {
		g.by, _ = lru.New[netip.Prefix, *rate.Limiter](maxRemembered) // fails for sizes below 1
	}
	l, ok := g.by.Get(network)
	if !ok {
		l = rate.NewLimiter(rate.Every(guessEvery), freeGuesses)
		g.by.Add(network, l)
	}
	return l
}
