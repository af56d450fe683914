package guard

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
)

// trickle sends each piece after a pause, until the other side hangs up.
func trickle(w io.Writer, pause time.Duration, pieces []string) {
	for _, piece := range pieces {
		<-time.After(pause)
		if _, err := io.WriteString(w, piece); err != nil {
			return
		}
	}
}

// slowly has first sent and then pieces with pauses, reads replies until the connection ends with 421, and returns that reply and when it came.
func (k *client) slowly(first string, pause time.Duration, pieces []string) (reply string, after time.Duration) {
	k.t.Helper()
	begin := time.Now()
	k.SetDeadline(begin.Add(48 * time.Hour))
	var sending sync.WaitGroup
	sending.Go(func() {
		io.WriteString(k, first)
		trickle(k, pause, pieces)
	})
	defer sending.Wait()
	defer k.Close()
	for {
		reply, err := k.read()
		switch {
		case err != nil:
			k.t.Fatalf("got %q, %v", reply, err)
		case strings.HasPrefix(reply, "421"):
			after = time.Since(begin)
			k.wantEnd()
			return reply, after
		}
	}
}

// loggedIn goes on to where DATA may follow, without the limit of time that ends with a login.
func (r *rig) loggedIn() *client {
	r.t.Helper()
	k := r.hello()
	k.say("AUTH PLAIN AGEAc2VjcmV0", "235 2.7.0")
	k.envelope()
	return k
}

// Whoever sends just enough not to be silent does not hold a message open for ever, wherever inside it that is; nothing of it is kept or run.
// checklist 21, 22, 80; fault 27: an octet now and then inside DATA and BDAT
func TestSlowContent(t *testing.T) {
	const pause = 4 * time.Minute // less than Timeouts.Content and Timeouts.Command
	octets := strings.Split(strings.Repeat("MAIL FROM:<smug@x.test>\r\n", 20), "")
	for name, c := range map[string]struct {
		begin  string
		pieces []string
		paid   time.Duration // for the octets of content that come before the end
		early  bool          // the Session answers before it has read anything
	}{
		"DATA": {begin: "DATA\r\nSubject: x\r\n\r\n", pieces: octets, paid: 2 * octetTime},
		// To have been fast is no credit.
		"DATA after much":         {begin: "DATA\r\n" + strings.Repeat(strings.Repeat("x", 998)+"\r\n", 100), pieces: octets, paid: 2 * octetTime},
		"a chunk":                 {begin: "BDAT 9999 LAST\r\n", pieces: octets, paid: 2 * octetTime},
		"chunks of one octet":     {pieces: slices.Repeat([]string{"BDAT 1\r\nx"}, 20), paid: 2 * octetTime},
		"NOOP between chunks":     {begin: "BDAT 3\r\nx\r\n", pieces: slices.Repeat([]string{"NOOP\r\n"}, 20)},
		"DATA that is refused":    {begin: "DATA\r\n", pieces: octets, paid: 2 * octetTime, early: true},
		"a chunk that is refused": {begin: "BDAT 9999 LAST\r\n", pieces: octets, paid: 2 * octetTime, early: true},
		"a chunk out of order":    {begin: "RSET\r\nBDAT 9999\r\n", pieces: octets, paid: 2 * octetTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				closed := make(chan error, 1)
				r := newRig(t, &Guard{Hooks: Hooks{Closed: func(_ *Conn, err error) { closed <- err }}}, false, true)
				if c.early {
					r.b.early = &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "full"}
				}
				k := r.loggedIn()
				waits := 10*time.Minute + c.paid
				if name == "chunks of one octet" {
					waits += pause // the first chunk begins the message
				}
				reply, after := k.slowly(c.begin, pause, c.pieces)
				if want := "421 4.4.2 mx.test waited too long for a message that comes at less than 50 octets a second, closing\r\n"; reply != want || after != waits {
					t.Errorf("after %v: %q, want after %v: %q", after, reply, waits, want)
				}
				if err := <-closed; !errors.Is(err, ErrSlow) {
					t.Errorf("closed: %v", err)
				}
				wantNothing(t, r, name)
				r.b.mu.Lock()
				defer r.b.mu.Unlock()
				if read := !c.early && !strings.HasPrefix(c.begin, "RSET"); read && (len(r.b.errs) != 1 || !errors.Is(r.b.errs[0], ErrCut) || !errors.Is(r.b.errs[0], ErrSlow)) {
					t.Errorf("Content gave %v", r.b.errs)
				}
			})
		})
	}
}

// A narrow line takes 500 octets a second, and stalls for two minutes after each half a minute of that.
type narrow struct {
	net.Conn
	sent int
}

func (n *narrow) Write(p []byte) (int, error) {
	const second, burst = 500, 30 * 500
	for done := 0; done < len(p); {
		size := min(second, len(p)-done, burst-n.sent%burst)
		if _, err := n.Conn.Write(p[done : done+size]); err != nil {
			return done, err
		}
		done += size
		n.sent += size
		pause := time.Duration(size) * time.Second / second
		if n.sent%burst == 0 {
			pause = 2 * time.Minute
		}
		<-time.After(pause)
	}
	return len(p), nil
}

// Honest mail over a bad mobile line gets through, however it is sent: in TLS records as long as they may be, of which nothing can be read before all
// has come, in lines, or in chunks.
func TestHonestSlowContent(t *testing.T) {
	body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 2500) // nearly 200 kB: half an hour
	inChunks := func(size int) (pieces []string) {
		for rest := body; rest != ""; {
			n := min(size, len(rest))
			pieces = append(pieces, "BDAT "+strconv.Itoa(n)+"\r\n"+rest[:n])
			rest = rest[n:]
		}
		return append(pieces, "BDAT 0 LAST\r\n")
	}
	for name, pieces := range map[string][]string{
		"at once":         {"DATA\r\n" + body + ".\r\n"},
		"by lines":        append(append([]string{"DATA\r\n"}, strings.SplitAfter(body, "\r\n")...), ".\r\n"),
		"in small chunks": inChunks(1000),
		"in large chunks": inChunks(100_000),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, &Guard{}, false, true)
				wide := r.dial
				r.dial = func() net.Conn { return &narrow{Conn: wide()} }
				k := r.loggedIn()
				k.SetDeadline(time.Now().Add(24 * time.Hour))
				var sending sync.WaitGroup
				sending.Go(func() {
					for _, piece := range pieces {
						if _, err := io.WriteString(k, piece); err != nil {
							t.Error(err)
							return
						}
					}
				})
				defer sending.Wait()
				begin := time.Now()
				for {
					reply, err := k.read()
					if err != nil || reply[0] != '2' && reply[0] != '3' {
						t.Errorf("after %v got %q, %v", time.Since(begin), reply, err)
						k.Close()
						return
					}
					if _, _, msgs := r.b.got(); len(msgs) > 0 {
						if msgs[0] != body {
							t.Errorf("%d octets came, want %d", len(msgs[0]), len(body))
						}
						break
					}
				}
				if took := time.Since(begin); took < 30*time.Minute {
					t.Errorf("the line was not slow: %v", took)
				}
			})
		})
	}
}

// What is not content is waited for as a whole: octets that come one by one move no deadline.
// checklist 21, 22; fault 27: an octet now and then at each other stage
func TestSlowCommands(t *testing.T) {
	const pause = 20 * time.Second
	octets := slices.Repeat([]string{"x"}, 100)
	for name, c := range map[string]struct {
		begin func(r *rig) *client
		want  string // "" for an end without a reply
		after time.Duration
	}{
		"a command in clear": {(*rig).clear, "421 4.4.2 mx.test waited too long for a command", 5 * time.Minute},
		"a command":          {(*rig).loggedIn, "421 4.4.2 mx.test waited too long for a command", 5 * time.Minute},
		"a response of AUTH": {func(r *rig) *client {
			k := r.hello()
			k.say("AUTH PLAIN", "334")
			return k
		}, "421 4.4.2 mx.test waited too long for a command", 5 * time.Minute},
		"a line without end": {func(r *rig) *client {
			k := r.hello()
			k.send(strings.Repeat("x", 3*bufferSize))
			return k
		}, "421 4.4.2 mx.test waited too long for a command", 5 * time.Minute},
		"the TLS handshake": {func(r *rig) *client {
			k := r.clear()
			k.say("STARTTLS", "220")
			k.send("\x16\x03\x01\x02\x00")
			return k
		}, "", 30 * time.Second},
		"a record of TLS": {func(r *rig) *client {
			k := r.loggedIn()
			k.Conn = k.Conn.(*tls.Conn).NetConn()
			k.send("\x17\x03\x03\x40\x00")
			return k
		}, "421 4.4.2 mx.test waited too long for a command", 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, &Guard{}, false, true)
				k := c.begin(r)
				begin := time.Now()
				var sending sync.WaitGroup
				sending.Go(func() { trickle(k, pause, octets) })
				defer sending.Wait()
				defer k.Close()
				if c.want != "" {
					k.want(c.want)
				}
				if after := time.Since(begin); c.want != "" && after != c.after {
					t.Errorf("it was waited for %v, want %v", after, c.after)
				}
				k.wantEnd()
				if after := time.Since(begin); after != c.after {
					t.Errorf("it took %v, want %v", after, c.after)
				}
			})
		})
	}
}
