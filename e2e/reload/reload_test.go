//go:build e2e

package reload

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const (
	signals = 990 // reloads by SIGHUP, each after a swap of all files
	alone   = 10  // reloads by a swap alone
)

// breakages are what is put in place of a right file now and then, what the log then says, and the check that tells of it.
var breakages = []struct {
	file, text, log, check string
}{
	{config, "hostname = \"half", "the config is wrong; the old one stays in force", "config"},
	{config, "[listen]\nsubmision = []\n", "the config is wrong; the old one stays in force", "config"},
	{certificate, "-----BEGIN CERTIFICATE-----\nbroken\n", "the certificate cannot be loaded; the old one stays in force", "certificate"},
	{key, "", "the certificate cannot be loaded; the old one stays in force", "certificate"},
	{accounts, "no accounts\nat all\n", "the accounts cannot be read; the old ones stay in force", "accounts"},
}

// A thousand reloads under load, one in ten of something broken: no session is cut, no connection refused, no mail lost or doubled,
// and log, health, metrics and page tell what is broken until it is mended.
func TestThousandReloads(t *testing.T) {
	upstream := lab.StartSink(t, "127.0.0.1:2525", false)
	m := install(t)
	m.Start(t)
	browser := m.login(t)
	clients := send(t, m.Smarthost, 16, 2)
	began := time.Now()
	alarms := 0
	for i := range signals {
		if i%10 != 9 {
			m.swap(t, nil)
			m.reload(t, syscall.SIGHUP)
			continue
		}
		b := breakages[i/10%len(breakages)]
		m.swap(t, map[string]string{b.file: b.text})
		before := strings.Count(m.Log(), b.log)
		m.reload(t, syscall.SIGHUP)
		if strings.Count(m.Log(), b.log) > before {
			alarms++
		} else {
			t.Errorf("broken %s: no alarm in the log", b.file)
		}
		if i/10 >= len(breakages) { // the others are looked at in the first rounds
			continue
		}
		if got := state(t, browser, b.check); got != alarmed {
			t.Errorf("broken %s: health, metrics and page say %q of %s", b.file, got, b.check)
		}
		m.swap(t, nil)
		m.reload(t, syscall.SIGHUP)
		if got := state(t, browser, b.check); got != calm {
			t.Errorf("mended %s: health, metrics and page say %q of %s", b.file, got, b.check)
		}
	}
	signalled := time.Since(began)
	for range alone {
		m.swap(t, nil)
		m.reload(t, 0)
	}
	count := clients.end()
	t.Logf("%d reloads by signal in %v, %d of them alarms; %d by files alone in %v; %d mails over %d lasting and %d short connections",
		signals+len(breakages), signalled.Round(time.Second), alarms, alone, (time.Since(began) - signalled).Round(time.Second), count, clients.kept.Load(), clients.made.Load())
	if clients.kept.Load() != 16 {
		t.Errorf("%d connections lasted, want 16", clients.kept.Load())
	}
	upstream.Wait(t, count, time.Minute)
	lab.Await(t, "an empty queue", time.Minute, func() bool {
		out, err := m.Command("queue", "--json").Output()
		return err == nil && strings.Trim(string(out), "[] \n") == ""
	})
	clients.judge(upstream.Take())
}

// reload sends a signal, or 0 for none, and returns when the files were read, whatever came of it.
func (m *mounted) reload(t *testing.T, signal syscall.Signal) {
	t.Helper()
	done := func() int {
		log := m.Log()
		return strings.Count(log, `"message":"reloaded"`) + strings.Count(log, "the config is wrong;")
	}
	before := done()
	m.Signal(t, signal)
	lab.Await(t, "the end of a reload", 20*time.Second, func() bool { return done() > before })
}

// A file that is written slowly, or replaced in the way of editors, is read when it is whole, without an alarm and without a signal.
func TestFilesThatAreWrittenSlowly(t *testing.T) {
	lab.StartSink(t, "127.0.0.1:2525", false)
	m := install(t)
	m.Start(t)
	path := filepath.Join(m.Folder, "..data", config)
	text := read(t, path)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0o600)
	lab.Check(t, err)
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for piece := range slices.Chunk(text, len(text)/12) {
		<-tick.C
		_, err := f.Write(piece)
		lab.Check(t, err)
	}
	lab.Check(t, f.Close())
	m.reload(t, 0)
	lab.Check(t, os.Rename(path, path+"~"))
	lab.Check(t, os.WriteFile(path+".new", append(text, "connections = 50\n"...), 0o600))
	lab.Check(t, os.Rename(path+".new", path))
	m.reload(t, 0)
	if log := m.Log(); strings.Contains(log, `"level":"error"`) || !strings.Contains(log, `"key":"forward.connections","in_force":"100","new":"50"`) {
		t.Error("an alarm, or no word of what needs a restart")
	}
}

// A writer that pauses in the middle, where what there is so far could be taken for the whole: the old file stays in force, log, health,
// metrics and page are an alarm meanwhile, and the new one is read when it is whole.
func TestWritersThatPause(t *testing.T) {
	upstream := lab.StartSink(t, "127.0.0.1:2525", false)
	m := install(t)
	m.Start(t)
	browser := m.login(t)
	for _, c := range []struct{ file, half, rest, check string }{
		{config, "# no relay, no certificate\n", string(m.files[config]), "config"},
		{accounts, "# nobody\nbob" + strings.TrimPrefix(string(m.files[accounts]), lab.User), string(m.files[accounts]), "accounts"},
		{certificate, "", string(m.pairs[1][certificate]), "certificate"},
	} {
		before := strings.Count(m.Log(), `"message":"reloaded"`)
		f, err := os.OpenFile(filepath.Join(m.Folder, "..data", c.file), os.O_WRONLY|os.O_TRUNC, 0o600)
		lab.Check(t, err)
		_, err = f.WriteString(c.half)
		lab.Check(t, err)
		lab.Await(t, "an alarm about "+c.file, 20*time.Second, func() bool { return state(t, browser, c.check) == alarmed })
		m.Signal(t, syscall.SIGHUP)
		lab.Check(t, m.AwaitLog("somebody writes "+m.place(c.file)+" at this moment", 20*time.Second))
		d, err := m.Dial()
		lab.Check(t, err)
		_, err = d.Send("alice@client.test", "bob@dest.test", "", []byte("Message-ID: <"+c.file+"@reload.test>\r\n\r\nx\r\n"), "250 2.0.0")
		lab.Check(t, err)
		lab.Check(t, d.Close())
		if !strings.Contains(m.Log(), `"files":["`+m.place(c.file)+`"]`) || c.file != accounts && strings.Count(m.Log(), `"message":"reloaded"`) != before { // all else is read
			t.Errorf("half of %s: no alarm, or it is in force", c.file)
		}
		_, err = f.WriteString(c.rest)
		lab.Check(t, err)
		lab.Check(t, f.Close())
		lab.Await(t, "the end of the alarm about "+c.file, 20*time.Second, func() bool { return state(t, browser, c.check) == calm })
	}
	lab.Check(t, m.AwaitLog(`"accounts":2`, 20*time.Second))
	upstream.Wait(t, 3, 20*time.Second)
}
