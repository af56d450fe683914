package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	submissionPort  = 587 // STARTTLS, RFC 6409
	submissionsPort = 465 // TLS from the first octet, RFC 8314

	clientWait   = 3 * time.Minute // for everything
	maxAddresses = 6               // of one name that are examined
)

// A Client examines a submission server, of any make, as a laptop sees it. It sends no mail unless Send is set, and a
// password only through TLS with a certificate that verified.
type Client struct {
	Host string // name or address
	Port int    // 0 = 587 and 465

	Roots    *x509.CertPool // authorities to trust; nil = the system's
	Resolver *net.Resolver  // nil = the system's

	User     string // to log in as; "" = no login
	Password Secret
	From, To string // of the transaction that stops before DATA; From empty = there is none; To empty = From
	Send     string // address that gets one real mail; empty = none

	// Follow tells what became of a mail that the server, at that address, has queued under an id. Nil, or a Finding
	// without Check: nothing is known about it here.
	Follow func(ctx context.Context, server netip.Addr, id string) Finding

	Progress Progress
}

// A Secret prints as ***.
type Secret string

// String is ***.
func (Secret) String() string { return "***" }

// GoString is ***.
func (Secret) GoString() string { return "***" }

// Run examines the server and reports what it finds. The error says what kept it from going on, ctx.Err() included.
func (c Client) Run(ctx context.Context, report Report) error {
	inner, cancel := context.WithTimeout(ctx, clientWait)
	defer cancel()
	c.run(inner, report)
	if inner.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%s is so slow that it was not examined to the end within %s", c.Host, clientWait)
	}
	return ctx.Err()
}

func (c Client) run(ctx context.Context, report Report) {
	addrs := c.lookup(ctx, report)
	if len(addrs) == 0 {
		return
	}
	doors := c.doors(addrs)
	// What a stranger hears has to be asked at every door before the first STARTTLS: a server may remember that.
	each(doors, func(d *door) { c.knock(ctx, d) })
	each(doors, func(d *door) { c.enter(ctx, d) })
	all := reach(doors, c.Port == 0)
	all = append(all, merge(doors)...)
	all = append(all, judgeClocks(doors, time.Now())...)
	for _, f := range all {
		report(f)
	}
	if c.User != "" && ctx.Err() == nil && anyOpen(doors) {
		c.login(ctx, doors, report)
	}
}

// doors are the addresses with their ports.
func (c Client) doors(addrs []netip.Addr) []*door {
	ports := []int{submissionPort, submissionsPort}
	if c.Port != 0 {
		ports = []int{c.Port}
	}
	var doors []*door
	for _, a := range addrs {
		for _, p := range ports {
			doors = append(doors, &door{addr: netip.AddrPortFrom(a, uint16(p)), implicit: p == submissionsPort})
		}
	}
	return doors
}

// each looks after all doors at the same time.
func each(doors []*door, f func(*door)) {
	var wg sync.WaitGroup
	for _, d := range doors {
		wg.Go(func() { f(d) })
	}
	wg.Wait()
}

func anyOpen(doors []*door) bool {
	for _, d := range doors {
		if d.open {
			return true
		}
	}
	return false
}

// merge makes one finding of what several doors have in common, in the order of the doors.
func merge(doors []*door) []Finding {
	var all []Finding
	where := map[int][]*door{} // by index in all
	index := map[string]int{}
	open := 0
	for _, d := range doors {
		if d.open {
			open++
		}
		for _, f := range d.findings {
			key := strings.Join([]string{f.Check, f.Level.String(), f.Why, f.Do, f.alike}, "\x00")
			if f.alike == "" {
				key += f.What
			}
			i, known := index[key]
			if !known {
				i = len(all)
				index[key] = i
				detail := f.Detail
				f.Detail = nil
				if detail != nil {
					f.Detail = map[string]any{d.where(): detail}
				}
				all = append(all, f)
			} else if f.Detail != nil {
				maps.Copy(all[i].Detail, map[string]any{d.where(): f.Detail})
			}
			where[i] = append(where[i], d)
		}
	}
	for i := range all {
		if len(where[i]) < open {
			all[i].Where = whereText(where[i], doors)
		}
	}
	return all
}

// whereText names doors: by their port, if it is all those of a port.
func whereText(some, doors []*door) string {
	port := some[0].addr.Port()
	same := 0
	for _, d := range doors {
		if d.open && d.addr.Port() == port {
			same++
		}
	}
	names := make([]string, len(some))
	for i, d := range some {
		if d.addr.Port() != port {
			same = -1
		}
		names[i] = d.where()
	}
	if same == len(some) && same > 1 {
		return "port " + strconv.Itoa(int(port))
	}
	return strings.Join(names, ", ")
}

// span tells a duration in the one unit that fits.
func span(d time.Duration) string {
	d = d.Abs()
	switch {
	case d >= 48*time.Hour:
		return count(int(d/(24*time.Hour)), "day")
	case d >= 2*time.Hour:
		return count(int(d/time.Hour), "hour")
	case d >= 2*time.Minute:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	case d >= 10*time.Second:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return strconv.Itoa(int(d/time.Millisecond)) + " ms"
}

// moment is how dates are shown.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// saysWhy finds replies that tell people what is missing.
var saysWhy = regexp.MustCompile(`(?i)auth|log.?in|tls|credential|password`)
