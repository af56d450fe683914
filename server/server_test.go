package server

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/policy/limit"
	"github.com/seed-1397b510/smarthost/server/dialogue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// talk is a client in Go, for what a dialogue file cannot say.
type talk struct {
	t testing.TB
	*dialogue.Player
}

// enter begins a session with TLS and, unless user is "", a login.
func (h *house) enter(t *testing.T, user string) talk {
	t.Helper()
	c := talk{t, h.player(t)}
	t.Cleanup(c.Leave)
	c.do("@tls", "S: 220 .*", "@ehlo laptop")
	if user != "" {
		c.do("@login " + user)
	}
	return c
}

// do plays lines of the dialogue language.
func (c talk) do(lines ...string) {
	c.t.Helper()
	for _, line := range lines {
		if err := c.Step(c.t, line); err != nil {
			c.t.Fatalf("%s: %v", line, err)
		}
	}
}

func TestRunNamesEveryMissingField(t *testing.T) {
	err := new(Server).Run(t.Context(), nil)
	if err == nil {
		t.Fatal("a server without fields runs")
	}
	for _, name := range []string{"Hostname", "Auth", "Policy", "Spool", "Destination", "TLS", "a door"} {
		if !strings.Contains(err.Error(), "server: "+name+" is required") {
			t.Errorf("%q does not name %s", err, name)
		}
	}
}

func TestRunClosesItsDoorsInAnyCase(t *testing.T) {
	l := newPipeListener()
	if err := new(Server).Run(t.Context(), []Door{{Listener: l}}); err == nil {
		t.Fatal("a server without fields runs")
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}

// A listener that breaks ends Run with its error.
func TestRunEndsWhenAListenerBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		synctest.Wait()
		h.submission.Close()
		if err := <-h.stopped; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Run returned %v", err)
		}
	})
}

// checklist 113
func TestEndTellsTheIdleAndLetsMessagesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		idle := h.enter(t, "alice")
		anonymous := h.enter(t, "")
		busy := h.enter(t, "alice")
		busy.do("C: MAIL FROM:<alice@example.org>", "S: 250 .*", "C: RCPT TO:<bob@dest.example>", "S: 250 .*", "C: DATA", "S: 354 .*", "C: Subject: last", "C:")
		h.stop()
		idle.do("S: 421 4\\.3\\.2 .*", "@eof")
		anonymous.do("S: 421 4\\.3\\.2 .*", "@eof")
		if _, err := h.submission.dial("192.0.2.1"); err == nil {
			t.Error("the door is open")
		}
		pass(10 * time.Second)
		busy.do("C: still writing", "C: .", "S: 250 2\\.0\\.0 queued as .*", "S: 421 4\\.3\\.2 .*", "@eof", "@queued 1")
		if err := <-h.stopped; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

// A message that does not end within DrainTimeout is cut, and nothing of it is kept.
func TestEndCutsWhatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(s *Server) { s.DrainTimeout = 5 * time.Second })
		busy := h.enter(t, "alice")
		busy.do("C: MAIL FROM:<alice@example.org>", "S: 250 .*", "C: RCPT TO:<bob@dest.example>", "S: 250 .*", "C: DATA", "S: 354 .*", "C: half a mess")
		begin := time.Now()
		h.stop()
		if err := <-h.stopped; err != nil {
			t.Errorf("Run returned %v", err)
		}
		if took := time.Since(begin); took > 6*time.Second {
			t.Errorf("it took %s", took)
		}
		busy.do("@gone", "@queued 0")
		if h.store.open != 0 {
			t.Errorf("%d drafts were neither committed nor aborted", h.store.open)
		}
	})
}

// A commit may wait for others as long as a quarter of what its message has taken so far: the first since its connection, others since MAIL.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		c := h.enter(t, "alice")
		send := func(spent time.Duration, subject string) {
			c.do("C: MAIL FROM:<alice@example.org>", "S: 250 .*", "C: RCPT TO:<bob@dest.example>", "S: 250 .*", "C: DATA", "S: 354 .*")
			pass(spent)
			c.do("C: Subject: "+subject, "C:", "C: .", "S: 250 .*")
		}
		pass(2 * time.Millisecond)
		send(2*time.Millisecond, "a client under load")
		pass(time.Minute)
		send(0, "no time at all")
		send(time.Minute, "a slow line")
		var got []time.Duration
		for _, m := range h.store.messages {
			got = append(got, m.seal.Patience)
		}
		if diff := cmp.Diff([]time.Duration{time.Millisecond, 0, mostPatience}, got); diff != "" {
			t.Errorf("patience (-want +got):\n%s", diff)
		}
	})
}

// The client's refusal of the certificate comes after our side of a TLS 1.3 handshake, and the connection in clear at once behind it.
func TestCertificateRefusedUnderTLS13ThenClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		conn := h.dial(t, "", false)
		in := bufio.NewReader(conn)
		read := func() {
			t.Helper()
			if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "220 ") {
				t.Fatalf("got %q, %v", line, err)
			}
		}
		read()
		if _, err := conn.Write([]byte("STARTTLS\r\n")); err != nil {
			t.Fatal(err)
		}
		read()
		if err := tls.Client(conn, &tls.Config{ServerName: hostname, MinVersion: tls.VersionTLS13}).Handshake(); err == nil {
			t.Fatal("the client trusts anybody")
		}
		conn.Close()
		synctest.Wait()
		clear := talk{t, h.player(t)}
		t.Cleanup(clear.Leave)
		clear.do("@connect", "S: 220 .*", "C: EHLO laptop", "@keywords", "C: MAIL FROM:<alice@example.org>",
			`S: 451 4\.7\.0 TLS failed 0 s ago \(the client did not accept the certificate\); keep the message and try again with STARTTLS`,
			`@log "certificate has expired"`, "@loglines")
	})
}

// The connection in clear may come while the one with TLS is still open: the excuse holds from the 220 on.
func TestClearMailWhileTheHandshakeHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		first := talk{t, h.player(t)}
		t.Cleanup(first.Leave)
		first.do("@connect", "S: 220 .*", "C: STARTTLS", "S: 220 .*")
		second := talk{t, h.player(t)}
		t.Cleanup(second.Leave)
		second.do("@connect", "S: 220 .*", "C: EHLO laptop", "@keywords", "C: MAIL FROM:<alice@example.org>",
			`S: 451 4\.7\.0 TLS failed 0 s ago; keep the message and try again with STARTTLS`)
	})
}

// What was remembered before a restart counts after it.
func TestMemoryOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := open(t, func(s *Server) { s.Memory = new(Memory) })
		c := before.enter(t, "alice")
		c.Leave()
		snapshot := before.server.Memory.Snapshot()
		before.stop()
		<-before.stopped

		after := open(t, func(s *Server) {
			s.Memory = new(Memory)
			if err := s.Memory.Restore(snapshot); err != nil {
				t.Fatal(err)
			}
		})
		after.enter(t, "").do("C: AUTH PLAIN AGFsaWNlAHdyb25n", "S: 535 .*", "C: MAIL FROM:<alice@example.org>", `S: 451 4\.7\.0 .*the login as alice failed.*`)
	})
}

// Settings change under a connection that is open.
func TestConfigureWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		c := h.enter(t, "")
		c.do("C: MAIL FROM:<alice@example.org>", "S: 530 .*", "@config unauthenticated=defer", "C: MAIL FROM:<alice@example.org>", "S: 451 .*")
	})
}

// The envelope that is kept is what the client said.
func TestEnvelope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		h.enter(t, "alice").do(
			"C: MAIL FROM:<laptop@alice.example.org> RET=HDRS ENVID=a+2Bb BODY=8BITMIME SMTPUTF8", "S: 250 .*",
			`C: RCPT TO:<"b c"@dest.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bc@dest.example`, "S: 250 .*",
			"C: RCPT TO:<bob@other.example>", "S: 250 .*",
			"C: DATA", "S: 354 .*", "C: .", "S: 250 .*")
		got := h.store.messages[0].envelope
		if len(got.ID) != 16 || len(got.Session) != 12 || time.Since(got.Arrived) != 0 || got.Size != int64(len(h.store.messages[0].content)) {
			t.Errorf("id %q, session %q, arrived %s, size %d", got.ID, got.Session, got.Arrived, got.Size)
		}
		got.ID, got.Session, got.Arrived, got.Size = "", "", time.Time{}, 0
		want := spool.Envelope{
			Account: "alice", From: "laptop@alice.example.org", Return: smtp.DSNReturnHeaders, EnvelopeID: "a+b", Body: smtp.Body8BitMIME, UTF8: true,
			Recipients: []spool.Recipient{
				{Address: `"b c"@dest.example`, Destination: "dest.example", Notify: []smtp.DSNNotify{smtp.DSNNotifySuccess, smtp.DSNNotifyDelayed},
					OriginalType: smtp.DSNAddressTypeRFC822, Original: "b+c@dest.example"},
				{Address: "bob@other.example", Destination: "other.example"},
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("envelope (-want +got):\n%s", diff)
		}
	})
}

// checklist 116: what a transaction took from the limits comes back at RSET, and when the client goes away.
func TestAbandonedTransactionsCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := new(limit.Limits)
		one := limit.Rate{Amount: 1, Per: time.Hour}
		limits.Configure(map[string]limit.Class{limit.Standard: {Messages: one, Recipients: one, Bytes: limit.Rate{Amount: 1 << 20, Per: time.Hour}}})
		h := open(t, func(s *Server) { s.Policy.Limits = limits })
		begin := []string{"C: MAIL FROM:<alice@example.org>", "S: 250 .*", "C: RCPT TO:<bob@dest.example>", "S: 250 .*"}
		for range 3 {
			c := h.enter(t, "alice")
			for _, end := range [][]string{{"C: RSET", "S: 250 .*"}, {"@ehlo laptop"}} {
				c.do(begin...)
				c.do(end...)
			}
			c.do(begin...)
			c.do("@close")
		}
		c := h.enter(t, "alice")
		c.do(begin...)
		c.do("C: DATA", "S: 354 .*", "C: .", "S: 250 .*")
		c.do("C: MAIL FROM:<alice@example.org>", `S: 450 4\.7\.1 messages: 1 of 1 messages this hour; next one in 1 h`)
	})
}
