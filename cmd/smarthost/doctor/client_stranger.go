package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// foreignRecipient is nobody (RFC 2606); no mail is sent to it, since DATA never follows.
const foreignRecipient = "smarthost-doctor@example.com"

// strangerFrom is the sender that mail without a login pretends to have.
func (c Client) strangerFrom() string {
	if c.From != "" {
		return c.From
	}
	if addr, err := netip.ParseAddr(c.Host); err == nil {
		addr = addr.Unmap().WithZone("")
		if addr.Is6() {
			return "postmaster@[IPv6:" + addr.String() + "]"
		}
		return "postmaster@[" + addr.String() + "]"
	}
	return "postmaster@" + strings.TrimSuffix(c.Host, ".")
}

// An answer is how far a transaction came.
type answer struct {
	reply
	step  string // the command it ended with, MAIL or RCPT; "" = none was tried
	taken bool   // both were taken
}

func (a answer) text() string { return fmt.Sprintf("%q (at %s)", a.reply.text(), a.step) }

// stranger asks for a transaction and takes it back before DATA.
func (t *talk) stranger(from, to string) (answer, error) {
	a, err := t.envelope(from, to)
	if err == nil && a.step == "RCPT" {
		_, err = t.cmd("RSET")
	}
	return a, err
}

// envelope opens a transaction and leaves it open.
func (t *talk) envelope(from, to string) (answer, error) {
	r, err := t.cmd("MAIL FROM:<" + from + ">")
	if err != nil || !r.ok() {
		return answer{reply: r, step: "MAIL"}, err
	}
	r, err = t.cmd("RCPT TO:<" + to + ">")
	return answer{reply: r, step: "RCPT", taken: err == nil && r.ok()}, err
}

// clear judges what the server offers before TLS.
func (d *door) clear(ctx context.Context, t *talk) {
	if !d.startTLS {
		d.add(Finding{Check: "starttls", Level: Problem, What: "STARTTLS is not offered",
			Why: "mail and passwords would pass in clear; Exim and Postfix, as they come, go on without TLS",
			Do:  "set up a certificate on the server. If other networks see STARTTLS there, this one strips it: use port 465"})
	}
	accepted := false
	if len(d.before) == 0 {
		r, err := t.cmd("AUTH PLAIN") // without the password
		if err != nil {
			d.broken(ctx, "AUTH before TLS", err)
			return
		}
		if accepted = r.code == 334; accepted {
			t.cmd("*") // RFC 4954 §4: give it up
		}
	}
	d.add(judgeClearAuth(d.before, accepted))
}

func judgeClearAuth(offered []string, accepted bool) Finding {
	f := Finding{Check: "auth before tls", Level: Problem, What: "a login is offered before TLS: AUTH " + clean(strings.Join(offered, " ")),
		Why: "mail programs whose TLS fails send the password in clear; everybody on the way can read it",
		Do:  "on the server: Exim auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}} (Debian: no AUTH_SERVER_ALLOW_NOTLS_PASSWORDS), Postfix smtpd_tls_auth_only = yes, others alike. On the laptop: insist on TLS"}
	switch {
	case accepted:
		f.What = "a login before TLS is accepted, although it is not offered"
	case len(offered) == 0:
		return Finding{Check: "auth before tls", What: "no login before TLS"}
	case !plainText(offered):
		f.Level = Warning
		f.Why = "these mechanisms do not show the password, but who changes what passes can offer PLAIN in their place"
	}
	return f
}

// plainText tells whether one of the mechanisms shows the password, or something as good.
func plainText(mechanisms []string) bool {
	for _, m := range mechanisms {
		switch m {
		case "PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER":
			return true
		}
	}
	return false
}

// afterFailure breaks a TLS handshake off, as a dead path or a wrong clock does, and asks what mail in clear is told then.
func (c Client) afterFailure(ctx context.Context, d *door) {
	t, err := c.approach(ctx, d)
	if err != nil {
		return // session meets it again and tells
	}
	t.close()
	if t, err = dial(ctx, d.addr); err != nil {
		d.broken(ctx, "connect after a TLS handshake that was broken off", err)
		return
	}
	defer t.quit()
	r, err := t.read(greetingWait)
	step := "the greeting"
	if err == nil && r.ok() {
		step = "EHLO"
		r, err = t.ehlo()
	}
	a := answer{reply: r, step: step}
	if err == nil && r.ok() {
		a, err = t.stranger(c.strangerFrom(), foreignRecipient)
	}
	if err != nil {
		d.broken(ctx, "MAIL in clear after a TLS handshake that was broken off", err)
		return
	}
	d.add(judgeStranger(inClear, a, d.stranger, d.addr.Addr()))
}

// A stage is where somebody without a login stands.
type stage int

const (
	inClear    stage = iota // after a TLS handshake that failed
	withoutTLS              // because there is none
	inTLS
	loginRefused // inside TLS, with a wrong password
)

// judgeStranger judges the answer to mail without a login: would a mail program that comes so far return the mail to its
// sender? before is what was said before any TLS had failed.
func judgeStranger(s stage, a, before answer, addr netip.Addr) Finding {
	f := Finding{Check: "mail without login", alike: fmt.Sprint(s, a.code, a.step),
		Detail: map[string]any{"reply": a.reply.text(), "step": a.step, "tls": s >= inTLS}}
	where := "without TLS, right after a TLS handshake that failed,"
	switch s {
	case inTLS:
		where = "inside TLS, but without a login,"
	case withoutTLS:
		where = "without TLS, which is not offered,"
	case loginRefused:
		where = "inside TLS, after a login that was refused,"
	}
	if before.step != "" && before.code != a.code {
		f.Detail["stranger"] = before.reply.text()
	}
	switch {
	case a.taken:
		return openRelay(f, where, a, addr)
	case !a.refused():
		f.What = fmt.Sprintf("mail %s is told to wait: %s; a mail program keeps it and tries again", where, a.text())
		return f
	}
	f.What = fmt.Sprintf("mail %s is refused for good: %s", where, a.text())
	silent := !saysWhy.MatchString(a.reply.text())
	if s >= inTLS {
		return judgeTLSRefusal(f, silent)
	}
	f.Level = Warning
	f.Why = "Debian's Exim as it comes, and Postfix with smtp_tls_security_level = may, go on in clear when TLS fails for a passing reason (a dead path, a time-out, a wrong clock); the first mail after a start of the laptop then bounces"
	if silent {
		f.Why += ", and the words say nothing about TLS or a login"
	}
	f.Do = "on the laptops: Exim hosts_require_tls and hosts_require_auth, Postfix smtp_tls_security_level = secure, or port 465. On the server: 451 4.7.0 in place of the refusal keeps the mail"
	return f
}

func judgeTLSRefusal(f Finding, silent bool) Finding {
	f.Level = Note
	f.Why = "that is what RFC 6409 asks for; but Debian's Exim as it comes gets here after a refused login, Postfix when AUTH is missing, and returns the mail to its sender"
	f.Do = "on the laptops: Exim hosts_require_auth"
	if silent {
		f.Level = Warning
		f.Why += ". The words say nothing about a login: nobody who reads the bounce will understand it"
		f.Do += ". On the server: a reply such as 530 5.7.0 Authentication required, at MAIL"
	}
	return f
}

// openRelay is about a server that takes mail for others from anybody, or from this network.
func openRelay(f Finding, where string, a answer, addr netip.Addr) Finding {
	f.Level = Problem
	f.What = fmt.Sprintf("mail %s to a foreign address is accepted: %s", where, a.text())
	f.Why = "if it does that for everybody, it is an open relay: spammers find it within hours, and block lists after them"
	f.Do = "unless this machine's network is one that the server trusts on purpose, have it demand a login before it relays"
	if addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() {
		f.Level = Warning
		f.Why = "this machine seems to be in a network that the server trusts; the laptop will not be, elsewhere. If it does that for everybody, it is an open relay"
		f.Do = "run this again from a foreign network"
	}
	return f
}

// injection puts a command behind STARTTLS in one write. A server that answers it after the handshake takes what somebody
// on the way has slipped in for what the client said inside TLS (CVE-2011-0411).
func (c Client) injection(ctx context.Context, d *door) {
	asked, vulnerable, err := c.inject(ctx, d)
	f := Finding{Check: "starttls injection", What: "what is slipped in behind STARTTLS is not carried into TLS"}
	switch {
	case ctx.Err() != nil, !asked:
		return
	case vulnerable:
		f.Level = Problem
		f.What = "a command slipped in behind STARTTLS is answered inside TLS"
		f.Why = "who can change what passes can put commands of their own before the client's, as if they had been sent securely"
		f.Do = "update the server's software: what has been read before the handshake must be thrown away (CVE-2011-0411)"
	case err != nil:
		f.What += " (" + errorText(err) + ")"
		f.alike = "cut"
	}
	d.add(f)
}

// inject tells whether it came so far that the question was asked.
func (c Client) inject(ctx context.Context, d *door) (asked, vulnerable bool, err error) {
	t, err := dial(ctx, d.addr)
	if err != nil {
		return false, false, err
	}
	defer func() { t.close() }()
	if _, err = t.read(greetingWait); err != nil {
		return false, false, err
	}
	if _, err = t.ehlo(); err != nil {
		return false, false, err
	}
	r, err := t.cmd("STARTTLS\r\nNOOP")
	if err != nil || !r.ok() {
		return true, false, err
	}
	if t.in.Buffered() > 0 {
		return true, false, nil // NOOP was answered in clear: no handshake can follow
	}
	if _, err = t.handshake(ctx, c.anyTLS()); err != nil {
		return true, false, err
	}
	// One answer too many shows: that to EHLO then comes after QUIT.
	if _, err = t.ehlo(); err != nil {
		return true, false, err
	}
	r, err = t.cmd("QUIT")
	return true, err == nil && r.code == 250, err
}
