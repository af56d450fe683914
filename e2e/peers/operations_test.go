//go:build e2e

package peers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// TestStopAndStart: SIGTERM while clients send; after the next start all that was acknowledged arrives once (checklist 113).
func TestStopAndStart(t *testing.T) {
	upstream := lab.StartSink(t, "127.0.0.1:2525", false)
	s := lab.NewSmarthost(t, `relay = "smtp://127.0.0.1:2525?tls=none"`)
	s.Start(t)
	var acknowledged sync.Map
	var number atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for !ended(stop) {
				sendUntilCut(s, &number, &acknowledged, stop)
			}
		})
	}
	for range 3 {
		upstream.Wait(t, len(upstream.Peek())+50, time.Minute)
		s.Stop(t, clientStop)
		s.Start(t)
	}
	close(stop)
	wg.Wait()
	want := 0
	acknowledged.Range(func(any, any) bool { want++; return true })
	upstream.Wait(t, want, time.Minute)
	judge(t, upstream.Take(), nil, want)
}

// TestFullDisk: mail is refused for now, and what was taken before is delivered when there is room (checklist 76).
func TestFullDisk(t *testing.T) {
	s := lab.NewSmarthost(t, `relay = "smtp://127.0.0.1:2525?tls=none"`+"\nretry = [\"1s\"]")
	users, err := os.ReadFile(filepath.Join(s.Data, "users"))
	lab.Check(t, err)
	lab.Check(t, syscall.Mount("tmpfs", s.Data, "tmpfs", 0, "size=100m,mode=700"))
	t.Cleanup(func() { lab.Check(t, syscall.Unmount(s.Data, syscall.MNT_DETACH)) })
	lab.Check(t, os.WriteFile(filepath.Join(s.Data, "users"), users, 0o600))
	s.Start(t)
	d, err := s.Dial()
	lab.Check(t, err)
	taken := map[string]bool{}
	refused := ""
	for i := range 2000 {
		id := fmt.Sprintf("%d@full.test", i)
		body := strings.Repeat(strings.Repeat("f", 98)+"\r\n", 400)
		if i%2 == 1 {
			body = strings.Repeat(body, 10)
		}
		reply, err := d.Send("alice@client.test", "bob@dest.test", "", fmt.Appendf(nil, header+"%s", id[:len(id)-len("@full.test")], body), "250 2.0.0")
		if err != nil {
			refused = reply
			break
		}
		taken[id] = true
	}
	t.Logf("%d mails taken, then %q", len(taken), refused)
	if len(taken) == 0 || !strings.HasPrefix(refused, "45") {
		t.Fatalf("%d taken, then %q, want 452 or 451", len(taken), refused)
	}
	filler := filepath.Join(s.Data, "filler") // others take the rest of the disk
	fill(t, filler)
	upstream := lab.StartSink(t, "127.0.0.1:2525", false)
	if mails := upstream.Wait(t, len(taken), 2*time.Minute); len(mails) != len(taken) {
		t.Errorf("%d mails arrived, want %d", len(mails), len(taken))
	}
	lab.Check(t, os.Remove(filler))
	d, err = s.Dial()
	lab.Check(t, err)
	_, err = d.Send("alice@client.test", "bob@dest.test", "", fmt.Appendf(nil, header, "room-again"), "250 2.0.0")
	lab.Check(t, err)
}

// fill writes a file until there is no space left for one more octet.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	lab.Check(t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
}

// TestReload: with a broken certificate, accounts and config the old ones stay (checklist 114).
func TestReload(t *testing.T) {
	s := lab.NewSmarthost(t, `relay = "smtp://127.0.0.1:2525?tls=none"`)
	s.Start(t)
	for _, file := range []string{filepath.Join(s.Folder, "certificate.pem"), filepath.Join(s.Folder, "key.pem"), s.Config} {
		good, err := os.ReadFile(file)
		lab.Check(t, err)
		lab.Check(t, os.WriteFile(file, []byte("broken"), 0o600))
		before := len(s.Log())
		s.Signal(t, syscall.SIGHUP)
		lab.Await(t, "a log line about "+filepath.Base(file), 10*time.Second, func() bool { return strings.Contains(s.Log()[before:], `"level":"error"`) })
		d, err := s.Dial()
		if err != nil {
			t.Fatalf("with a broken %s: %v", filepath.Base(file), err)
		}
		d.Close()
		lab.Check(t, os.WriteFile(file, good, 0o600))
	}
}
