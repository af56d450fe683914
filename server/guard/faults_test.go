package guard

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The faults of go-smtp that the guard is there for. Each scene is played twice, before go-smtp alone and before go-smtp
// behind the guard: alone it must show the fault, or the scene proves nothing.
// checklist 31, 68, 75, 80, 82
func TestFaults(t *testing.T) {
	for name, play := range map[string]func(k *client, b *backend) (fault bool){
		"STARTTLS injection":     startTLSInjection,
		"time-out inside DATA":   dataTimeout,
		"BDAT cut off":           cutBDAT,
		"parameter in a mailbox": addressInjection,
		"half a command":         halfCommand,
	} {
		for _, guarded := range []bool{false, true} {
			t.Run(name+map[bool]string{false: "/alone", true: "/guarded"}[guarded], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := &backend{}
					stop, dial := serveFaulty(b, guarded)
					k := newClient(t, dial())
					k.want("220 ")
					fault := play(k, b)
					k.Close()
					stop()
					if fault == guarded {
						t.Errorf("guarded %v: fault seen %v", guarded, fault)
					}
				})
			})
		}
	}
}

func serveFaulty(b *backend, guarded bool) (stop func(), dial func() net.Conn) {
	p := newPipes()
	srv := newServer(b)
	var l net.Listener = p
	if guarded {
		l = (&Guard{Hostname: "mx.test", TLS: serverTLS, Timeouts: Timeouts{Content: 2 * time.Second, Command: time.Minute}}).Listen(p, false)
	} else {
		srv.TLSConfig, srv.ReadTimeout, srv.WriteTimeout = serverTLS(), 2*time.Second, 2*time.Second
	}
	var served sync.WaitGroup
	served.Go(func() { srv.Serve(l) })
	return func() {
		l.Close()
		srv.Shutdown(context.Background())
		served.Wait()
	}, p.dial
}

// begin goes on to where DATA may follow.
func (k *client) begin() *client {
	k.t.Helper()
	k.say("STARTTLS", "220 ")
	k = k.startTLS()
	k.say("EHLO x", "250")
	k.say("MAIL FROM:<a@b.test>", "250 ")
	k.say("RCPT TO:<c@d.test>", "250 ")
	return k
}

// drainReplies reads replies until there are no more for a while, and returns them.
func (k *client) drainReplies() string {
	var all strings.Builder
	k.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		reply, err := k.read()
		all.WriteString(reply)
		if err != nil {
			return all.String()
		}
	}
}

// What follows a failed handshake in clear must not be run.
func startTLSInjection(k *client, b *backend) bool {
	k.say("STARTTLS", "220 ")
	var reading sync.WaitGroup
	reading.Go(func() { k.drainReplies() })
	k.Write([]byte("no ClientHello\r\n"))
	k.Write([]byte("EHLO evil\r\nMAIL FROM:<evil@x.test>\r\nNOOP\r\n"))
	reading.Wait()
	from, _, _ := b.got()
	return len(from) > 0
}

// Lines of a body that comes too slowly must not be run.
func dataTimeout(k *client, b *backend) bool {
	k = k.begin()
	k.say("DATA", "354 ")
	k.send("Subject: x\r\n\r\n")
	k.read() // after two silent seconds
	var reading sync.WaitGroup
	reading.Go(func() { k.drainReplies() })
	k.Write([]byte("MAIL FROM:<injected@x.test>\r\n"))
	reading.Wait()
	from, _, msgs := b.got()
	if len(msgs) > 0 {
		k.t.Errorf("a message was taken: %q", msgs)
	}
	return slices.Contains(from, "injected@x.test")
}

// A chunk without its end is no message.
func cutBDAT(k *client, b *backend) bool {
	k = k.begin()
	k.send("BDAT 1000 LAST\r\nSubject: cut\r\n\r\nhalf")
	k.Conn.(*tls.Conn).CloseWrite()
	k.drainReplies()
	_, _, msgs := b.got()
	return len(msgs) > 0
}

// A quoted local part must not lose its quotes.
func addressInjection(k *client, b *backend) bool {
	k = k.begin()
	k.say(`RCPT TO:<"a@evil.com> SIZE=1 x"@local>`, "250 ")
	_, to, _ := b.got()
	return to[len(to)-1] != `"a@evil.com> SIZE=1 x"@local`
}

// A command without its CRLF is none.
func halfCommand(k *client, b *backend) bool {
	k = k.begin()
	k.send("RCPT TO:<half@d.test> ")
	k.Conn.(*tls.Conn).CloseWrite()
	k.drainReplies()
	_, to, _ := b.got()
	return slices.Contains(to, "half@d.test")
}
