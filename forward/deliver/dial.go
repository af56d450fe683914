package deliver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-1397b510/smarthost/forward/route"
)

const (
	headStart     = 250 * time.Millisecond // RFC 8305 §5
	familyPenalty = 10 * time.Minute       // how long a family that failed goes second
	maxDials      = 10                     // addresses of one hop that are tried in one race
)

func portText(port uint16) string { return strconv.Itoa(int(port)) }

// An attempt is one address that was dialled.
type attempt struct {
	nc   net.Conn
	addr netip.Addr
	err  error
}

// dial connects to the first of the addresses that answers: they are tried one after the other, families in turn, the
// next one when the last has failed or after a head start (RFC 8305). Dial must return soon after its context has ended.
func (d *Deliverer) dial(ctx context.Context, hop route.Hop, addrs []netip.Addr) (net.Conn, netip.Addr, error) {
	if len(addrs) == 0 {
		addrs = []netip.Addr{{}}
	}
	order := d.families.order(addrs)
	order = order[:min(len(order), maxDials)]
	begin := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan attempt, len(order))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	timer := time.NewTimer(0)
	defer timer.Stop()
	var won *attempt
	var failure error
	next, running := 0, 0
	for won == nil && (running > 0 || next < len(order)) {
		select {
		case a := <-ended:
			running--
			if a.err == nil {
				won = &a
				break
			}
			failure = errors.Join(failure, a.err)
			timer.Reset(0)
		case <-timer.C:
			if next == len(order) {
				break
			}
			addr := order[next]
			wg.Go(func() { ended <- d.attempt(ctx, hop, addr) })
			next, running = next+1, running+1
			timer.Reset(headStart)
		}
	}
	cancel()
	for ; running > 0; running-- {
		if a := <-ended; a.nc != nil {
			a.nc.Close() // came in second
		}
	}
	if won == nil {
		return nil, netip.Addr{}, failure
	}
	d.metrics.done(stepConnect, begin)
	if lost := d.families.learn(order[:next], won.addr); lost != "" {
		d.metrics.deadened.WithLabelValues(strings.ToLower(lost)).Inc()
		d.Log.Info().Str("hop", label(hop, won.addr)).Str("family", lost).Msg("address family does not answer, goes second for a while")
	}
	return won.nc, won.addr, nil
}

func (d *Deliverer) attempt(ctx context.Context, hop route.Hop, addr netip.Addr) attempt {
	ctx, cancel := context.WithTimeout(ctx, d.Timeouts.withDefaults().Connect)
	defer cancel()
	host := hop.Host
	if addr.IsValid() {
		host = addr.String()
	}
	dial := d.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	nc, err := dial(ctx, "tcp", net.JoinHostPort(host, portText(hop.Port)))
	return attempt{nc, addr, err}
}

// families remembers which address family failed lately.
type families struct {
	mu     sync.Mutex
	failed [2]time.Time // of IPv4, IPv6
}

var familyNames = [2]string{"IPv4", "IPv6"}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// order puts the families in turn, IPv6 first unless it failed lately and IPv4 did not.
func (f *families) order(addrs []netip.Addr) []netip.Addr {
	f.mu.Lock()
	first := 1
	if time.Since(f.failed[1]) < familyPenalty && time.Since(f.failed[0]) >= familyPenalty {
		first = 0
	}
	f.mu.Unlock()
	var by [2][]netip.Addr
	for _, a := range addrs {
		by[family(a)] = append(by[family(a)], a)
	}
	order := make([]netip.Addr, 0, len(addrs))
	a, b := by[first], by[1-first]
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			order = append(order, a[i])
		}
		if i < len(b) {
			order = append(order, b[i])
		}
	}
	return order
}

// learn notes how a race went: the winner's family is well; the other is not if it was tried before the winner.
// It returns the name of a family that has just lost its head start, else "".
func (f *families) learn(tried []netip.Addr, won netip.Addr) (lost string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed[family(won)] = time.Time{}
	other := 1 - family(won)
	before := tried[:slices.Index(tried, won)]
	if !slices.ContainsFunc(before, func(a netip.Addr) bool { return family(a) == other }) {
		return ""
	}
	known := time.Since(f.failed[other]) < familyPenalty
	f.failed[other] = time.Now()
	if known {
		return ""
	}
	return familyNames[other]
}
