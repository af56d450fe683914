//go:build e2e

package reload

import (
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// SIGTERM: /readyz says no first, while the doors stay open for listen.drain; then the idle are told 421, and who is inside DATA
// ends it and has its 250, which holds.
func TestDrain(t *testing.T) {
	upstream := lab.StartSink(t, "127.0.0.1:2525", false)
	m := install(t)
	lab.Check(t, os.WriteFile(m.Config, []byte(strings.Replace(string(read(t, m.Config)), "[listen]\n", "[listen]\ndrain = \"3s\"\n", 1)), 0o600))
	m.Start(t)
	if code, text := ask(t, "/readyz"); code != 200 {
		t.Fatalf("before: %d %s", code, text)
	}
	idle, err := m.Dial()
	lab.Check(t, err)
	inside, err := m.Dial()
	lab.Check(t, err)
	for _, step := range [][2]string{{"MAIL FROM:<alice@client.test>", "250"}, {"RCPT TO:<bob@dest.test>", "250"}, {"DATA", "354"}} {
		_, err := inside.Say(step[0], step[1])
		lab.Check(t, err)
	}
	_, err = io.WriteString(inside, "Message-ID: <inside@reload.test>\r\n\r\nthe first half\r\n")
	lab.Check(t, err)

	m.Signal(t, syscall.SIGTERM)
	lab.Check(t, m.AwaitLog("the doors stay open for a while", 10*time.Second))
	if code, text := ask(t, "/readyz"); code != 503 || !strings.Contains(text, "shutting down") {
		t.Errorf("after SIGTERM: %d %s", code, text)
	}
	if code, _ := ask(t, "/livez"); code != 200 {
		t.Errorf("/livez: %d", code)
	}
	late, err := m.Dial() // who was sent here before the load balancer noticed
	if err != nil {
		t.Fatalf("the doors are shut: %v", err)
	}
	_, err = late.Send("alice@client.test", "bob@dest.test", "", []byte("Message-ID: <late@reload.test>\r\n\r\nx\r\n"), "250 2.0.0")
	lab.Check(t, err)

	for name, d := range map[string]*lab.Dialogue{"idle": idle, "late": late} {
		if reply, err := d.Reply("421 4.3.2"); err != nil {
			t.Errorf("%s: %q, %v", name, reply, err)
		}
	}
	if c, err := net.DialTimeout("tcp", m.Submission, 5*time.Second); err == nil {
		c.Close()
		t.Error("the doors are open after the drain")
	}
	_, err = io.WriteString(inside, "the other half\r\n.\r\n")
	lab.Check(t, err)
	if reply, err := inside.Reply("250 2.0.0 queued"); err != nil {
		t.Errorf("inside DATA: %q, %v", reply, err)
	}
	if reply, err := inside.Reply("421 4.3.2"); err != nil {
		t.Errorf("after DATA: %q, %v", reply, err)
	}
	m.End(t, 20*time.Second)
	m.Start(t)
	mails := upstream.Wait(t, 2, 20*time.Second)
	for _, want := range []string{"the first half\r\nthe other half\r\n", "<late@reload.test>"} {
		n := 0
		for _, mail := range mails {
			n += strings.Count(string(mail.Content), want)
		}
		if n != 1 {
			t.Errorf("%q came %d times", want, n)
		}
	}
}
