package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"regexp"
	"sync"
	"time"
)

// A door is one port at one address, and what was found there.
type door struct {
	addr     netip.AddrPort
	implicit bool // TLS from the first octet

	connect time.Duration // what connecting took
	err     error         // why connecting failed
	open    bool
	skipped bool // it was interrupted before anything was known

	greeted  bool // it greets, and takes EHLO
	slow     bool // so slow a greeting that only what matters most is looked at
	startTLS bool
	before   []string // AUTH mechanisms before TLS
	stranger answer   // what mail in clear was told before the first STARTTLS

	leaf     *x509.Certificate
	verified bool
	skew     time.Duration // clock in the greeting minus this machine's; 0 = no clock seen
	findings []Finding
}

func (d *door) where() string { return d.addr.String() }

func (d *door) add(f Finding) { d.findings = append(d.findings, f) }

// broken reports a conversation that ended where it should not.
func (d *door) broken(ctx context.Context, step string, err error) {
	if ctx.Err() != nil {
		return // that was this program
	}
	d.add(Finding{Check: "conversation", Level: Problem, What: fmt.Sprintf("%s: %s", step, errorText(err)),
		Why: "mail programs put the mail off or give up here", Do: "look into the server's log for this moment; a firewall or virus scanner in between can do this too"})
}

// knock connects for the first time and looks at what there is before TLS.
func (c Client) knock(ctx context.Context, d *door) {
	c.Progress.say("port %d at %s", d.addr.Port(), d.addr.Addr())
	start := time.Now()
	t, err := dial(ctx, d.addr)
	d.connect = time.Since(start)
	if err != nil {
		d.err = err
		d.skipped = ctx.Err() != nil
		return
	}
	d.open = true
	if d.implicit {
		t.close()
		return
	}
	defer t.quit()
	start = time.Now()
	r, err := c.firstReply(ctx, d, t)
	if d.implicit || !d.greeting(ctx, r, err, time.Since(start)) || !d.hello(ctx, t) {
		return
	}
	d.greeted = true
	d.startTLS, d.before = t.offers("STARTTLS"), t.mechanisms()
	d.clear(ctx, t)
	if a, err := t.stranger(c.strangerFrom(), foreignRecipient); err == nil {
		d.stranger = a
	} else {
		d.broken(ctx, "MAIL before TLS", err)
	}
}

// guessWait is how long a port may say nothing before it is tried with TLS.
const guessWait = 2 * time.Second

// firstReply reads the greeting. Where it is not known whether TLS comes first, that is found out when no greeting comes.
func (c Client) firstReply(ctx context.Context, d *door, t *talk) (reply, error) {
	if port := d.addr.Port(); port == submissionPort || port == 25 {
		return t.read(greetingWait)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		select {
		case <-time.After(guessWait):
			if d.implicit = c.speaksTLS(ctx, d); d.implicit {
				t.conn.Close()
			}
		case <-ctx.Done():
		}
	})
	return t.read(greetingWait)
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// speaksTLS tells whether TLS comes first at a door.
func (c Client) speaksTLS(ctx context.Context, d *door) bool {
	t, err := dial(ctx, d.addr)
	if err != nil {
		return false
	}
	defer t.close()
	_, err = t.handshake(ctx, c.anyTLS())
	return err == nil
}

const slowGreeting = 5 * time.Second

// greeting judges the first reply; false = nothing more can be done there.
func (d *door) greeting(ctx context.Context, r reply, err error, took time.Duration) bool {
	f := Finding{Check: "greeting", Level: Problem, Detail: map[string]any{"ms": took.Milliseconds(), "text": r.text()}, alike: fmt.Sprint(r.code)}
	switch {
	case isTimeout(err):
		f.What = fmt.Sprintf("connections are taken, but no greeting is complete within %s", span(greetingWait))
		f.Why = "Exim and Postfix wait 5 min, msmtp and Go's net/smtp without a time-out for ever"
		f.Do = "look at the server: overloaded, or waiting for a name lookup of the client's address; on a TLS port, connect with TLS"
		f.Detail, f.alike = nil, ""
	case err != nil:
		d.broken(ctx, "greeting", err)
		return false
	case r.refused():
		f.What = "this address is turned away: " + r.text()
		f.Why = "Exim and dma return mail to its sender on such a greeting, nullmailer sets it aside"
		f.Do = "ask the server's operator whether this network is on a block list; a server should turn away with 421, which keeps the mail waiting"
	case !r.ok():
		f.What = "the server is not ready for this address: " + r.text()
		f.Why = "mail programs with a queue try again later, the others fail"
		f.Do = "try again in some minutes; if it stays, ask the operator: too many connections, or a limit on this network"
	case took >= slowGreeting:
		d.slow = true
		f.Level = Warning
		f.What = fmt.Sprintf("the greeting takes %s", took.Round(100*time.Millisecond))
		f.Why = "it is paid for by every mail, and programs with a short time-out give up"
		f.Do = "the server should look nothing up before it greets: reverse names, ident (RFC 1413), block lists"
	default:
		f.Level = Good
		f.What = r.text()
	}
	d.skew = clockOf(r, time.Now())
	d.add(f)
	return r.ok() && err == nil
}

// greetingDate finds the date that Exim and Sendmail put into their greeting.
var greetingDate = regexp.MustCompile(`(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d{1,2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} [+-]\d{4}`)

// clockOf compares the clock that a greeting shows with now; 0 = it shows none.
func clockOf(r reply, now time.Time) time.Duration {
	date, err := mail.ParseDate(greetingDate.FindString(r.text()))
	if err != nil {
		return 0
	}
	return date.Sub(now)
}

// hello says EHLO and judges the answer.
func (d *door) hello(ctx context.Context, t *talk) bool {
	r, err := t.ehlo()
	if err != nil {
		d.broken(ctx, "EHLO", err)
		return false
	}
	if r.ok() {
		return true
	}
	_, inTLS := t.conn.(*tls.Conn)
	f := Finding{Check: "ehlo", Level: Problem, What: "EHLO is refused: " + r.text(), alike: fmt.Sprint(inTLS, r.code),
		Why: "mail programs fall back to HELO, which knows no TLS and no login",
		Do:  "a submission server has to take every EHLO: laptops call themselves localhost or by an address"}
	if inTLS {
		f.What = "EHLO is refused inside TLS: " + r.text()
		f.Why = "Exim goes on with HELO and without a login, even when told to insist on one, and returns the mail to its sender"
	}
	d.add(f)
	return false
}

// enter looks at all that comes after the first look: TLS, and what is there inside.
func (c Client) enter(ctx context.Context, d *door) {
	switch {
	case ctx.Err() != nil, !d.open, !d.implicit && !d.greeted:
		return
	case !d.implicit && !d.startTLS:
		if d.stranger.step != "" {
			d.add(judgeStranger(withoutTLS, d.stranger, answer{}, d.addr.Addr()))
		}
		return
	}
	c.Progress.say("TLS on port %d at %s", d.addr.Port(), d.addr.Addr())
	if !d.implicit {
		c.afterFailure(ctx, d)
	}
	version, ok := c.session(ctx, d)
	if !ok || ctx.Err() != nil {
		return
	}
	if d.slow {
		d.add(Finding{Check: "tls versions", Level: Note, What: "not examined, since each connection costs a slow greeting"})
		return
	}
	if !d.implicit {
		c.Progress.say("STARTTLS with a command behind it on port %d at %s", d.addr.Port(), d.addr.Addr())
		c.injection(ctx, d)
	}
	c.Progress.say("TLS versions on port %d at %s", d.addr.Port(), d.addr.Addr())
	c.versions(ctx, d, version)
}

// approach connects and goes as far as to the point where the TLS handshake begins.
func (c Client) approach(ctx context.Context, d *door) (*talk, error) {
	t, err := dial(ctx, d.addr)
	if err != nil || d.implicit {
		return t, err
	}
	for _, step := range []struct {
		name string
		take func() (reply, error)
	}{
		{"greeting", func() (reply, error) { return t.read(greetingWait) }},
		{"EHLO", t.ehlo},
		{"STARTTLS", func() (reply, error) { return t.cmd("STARTTLS") }},
	} {
		r, err := step.take()
		if err = expect(r, err, step.name); err != nil {
			t.close()
			return nil, err
		}
	}
	return t, nil
}

// A refusal is a reply that was not hoped for, as an error.
type refusal struct {
	reply
	step string
}

func (r refusal) Error() string { return r.step + " is answered with " + r.text() }

// expect makes an error of a reply that is not 2xx.
func expect(r reply, err error, step string) error {
	if err == nil && !r.ok() {
		return refusal{r, step}
	}
	return err
}

// session does what a mail program does up to the login, and judges it on the way.
func (c Client) session(ctx context.Context, d *door) (version uint16, ok bool) {
	t, err := c.approach(ctx, d)
	var no refusal
	if errors.As(err, &no) && no.step == "STARTTLS" {
		d.add(judgeNoTLS(no.reply))
		return 0, false
	}
	if err != nil {
		d.broken(ctx, "conversation up to STARTTLS", err)
		return 0, false
	}
	start := time.Now()
	state, err := t.handshake(ctx, c.anyTLS())
	if err != nil {
		t.close()
		if ctx.Err() == nil {
			d.add(judgeHandshake(err))
		}
		return 0, false
	}
	defer t.quit()
	d.leaf = state.PeerCertificates[0]
	findings, verified := judgeCertificate(state.PeerCertificates, c.Host, c.Roots, time.Now())
	d.verified = verified
	for _, f := range findings {
		d.add(f)
	}
	if took := time.Since(start); took > slowGreeting {
		d.add(Finding{Check: "tls", Level: Warning, What: "the TLS handshake takes " + took.Round(100*time.Millisecond).String(),
			Why: "programs with a short time-out give up, and stock Exim may go on in clear", Do: "look at the server's load and at packet loss on the way"})
	}
	if d.implicit {
		r, err := t.read(greetingWait)
		if !d.greeting(ctx, r, err, time.Since(start)) {
			return 0, false
		}
		d.greeted = true
	}
	if !d.hello(ctx, t) {
		return 0, false
	}
	d.add(judgeAuth(t.mechanisms()))
	d.add(judgeExtensions(t.ext))
	a, err := t.stranger(c.strangerFrom(), foreignRecipient)
	if err != nil {
		d.broken(ctx, "MAIL inside TLS without a login", err)
		return state.Version, true
	}
	d.add(judgeStranger(inTLS, a, answer{}, d.addr.Addr()))
	return state.Version, true
}
