package doctor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// order is the checks of the findings, each once.
func order(found []Finding) (names []string) {
	for _, f := range found {
		names = append(names, f.Check)
	}
	return slices.Compact(names)
}

// All checks run, and are reported in the order of the mail's way whatever ends first.
func TestServerReportsInOrder(t *testing.T) {
	data := t.TempDir()
	s := Server{Hostname: "mx.example.org", Data: data, Accounts: accountsFile(t, []string{"*@d.example"}), Certificate: filepath.Join(data, "none"),
		Doors: []Door{{Address: ":587"}}, Probes: []string{"probe.example"}, Addresses: addrs("198.51.100.7"), Sources: addrs("198.51.100.7"),
		Resolver: &DNS{Servers: []string{zone{records: []string{a4, ptr4, probeMX, probeA, mxOf}}.serve(t)}}, Dial: world{}.dial}
	var found []Finding
	if err := s.Run(t.Context(), func(f Finding) { found = append(found, f) }); err != nil {
		t.Fatal(err)
	}
	want := []string{"hostname", "reverse name", "port 25", "spf", "dmarc", "sender domain", "clock", "certificate", "data", "file system", "space", "disk", "queue", "accounts", "listeners", "open relay", "limits"}
	if diff := cmp.Diff(want, order(found)); diff != "" {
		t.Error(diff)
	}
}

// A deaf resolver gives no answer until it is told to stop.
type deaf struct{}

func (deaf) wait(ctx context.Context) error {
	<-ctx.Done()
	return &net.DNSError{Err: "deaf", IsTimeout: true, IsTemporary: true}
}
func (d deaf) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	return nil, d.wait(ctx)
}
func (d deaf) LookupIPAddr(ctx context.Context, _ string) ([]net.IPAddr, error) {
	return nil, d.wait(ctx)
}
func (d deaf) LookupAddr(ctx context.Context, _ string) ([]string, error) { return nil, d.wait(ctx) }
func (d deaf) LookupMX(ctx context.Context, _ string) ([]*net.MX, error)  { return nil, d.wait(ctx) }
func (d deaf) LookupTXT(ctx context.Context, _ string) ([]string, error)  { return nil, d.wait(ctx) }

// Whatever does not answer, the examination ends within a minute, and says so of each check.
func TestServerEndsInTime(t *testing.T) {
	data := t.TempDir()
	file := accountsFile(t, []string{"*@d.example", "*@e.example"})
	synctest.Test(t, func(t *testing.T) {
		s := Server{Hostname: "mx.example.org", Data: data, Accounts: file, Doors: []Door{{Address: ":587"}}, Addresses: addrs("198.51.100.7"), Sources: addrs("198.51.100.7"),
			Resolver: deaf{}, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}
		var found []Finding
		start := time.Now()
		if err := s.Run(t.Context(), func(f Finding) { found = append(found, f) }); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > time.Minute || len(found) < 12 {
			t.Errorf("%s, %d findings", took, len(found))
		}
	})
}

// A fault in a check ends that check alone.
func TestCheckThatPanics(t *testing.T) {
	wrong := func(context.Context) []Finding { var none *visit; return none.checkData(t.Context()) }
	for _, run := range []func(context.Context) []Finding{wrong, func(ctx context.Context) []Finding {
		var all crew
		all.Go(func() { wrong(ctx) })
		all.Go(func() {})
		all.Wait()
		return nil
	}} {
		c := check{name: "data", doing: "the data folder", run: run}
		shows(t, c.guarded(t.Context()), "warning data: the check itself failed: runtime error: invalid memory address")
	}
}

// A check that hangs where nothing can end it is left behind.
func TestHangingCheckIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		shows(t, wait(ctx, check{name: "data"}, make(chan []Finding)), "warning data: did not come to an end in time")
		if took := time.Since(start); took != time.Second+lastWait {
			t.Error(took)
		}
		late := make(chan []Finding, 1)
		late <- []Finding{{Check: "data", What: "late"}}
		shows(t, wait(ctx, check{name: "data"}, late), "good data: late")
	})
}

func TestServerStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := Server{Hostname: "mx.example.org", Data: t.TempDir(), Accounts: "none", Resolver: deaf{}, Dial: world{}.dial, Addresses: addrs("198.51.100.7"), Sources: addrs("198.51.100.7")}
	s.Progress = func(string) { cancel() }
	if err := s.Run(ctx, func(Finding) {}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestServerWantsItsFields(t *testing.T) {
	for _, s := range []Server{{}, {Hostname: "h", Data: "d"}, {Hostname: "h", Accounts: "a"}, {Data: "d", Accounts: "a"}} {
		if err := s.Run(t.Context(), func(f Finding) { t.Error(f) }); err == nil {
			t.Errorf("%+v runs", s)
		}
	}
}
