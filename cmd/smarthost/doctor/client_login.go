package doctor

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/seed-1397b510/smarthost/forward/deliver"
)

// login logs in at the first door whose certificate verified, and asks for a transaction there.
func (c Client) login(ctx context.Context, doors []*door, report Report) {
	d := verifiedDoor(doors)
	if d == nil {
		report(Finding{Check: "login", Level: Problem, What: "not tried: a password is sent only through TLS with a certificate that verifies",
			Why: "anybody could be at the other end", Do: "see the findings about TLS and the certificate (--ca FILE for a private authority)"})
		return
	}
	c.Progress.say("login as %s on port %d at %s", clean(c.User), d.addr.Port(), d.addr.Addr())
	t, err := c.secure(ctx, d)
	if err == nil {
		defer t.quit()
		err = c.loggedIn(ctx, t, d, report)
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	report(Finding{Check: "login", Level: Problem, Where: d.where(), What: "the conversation ended before its end: " + errorText(err),
		Why: "mail programs put the mail off or give up here", Do: "look into the server's log for this moment"})
}

func verifiedDoor(doors []*door) *door {
	for _, d := range doors {
		if d.verified && d.greeted {
			return d
		}
	}
	return nil
}

// secure opens a conversation in TLS that the library has verified itself.
func (c Client) secure(ctx context.Context, d *door) (*talk, error) {
	t, err := c.approach(ctx, d)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{ServerName: strings.TrimSuffix(c.Host, "."), RootCAs: c.Roots, MinVersion: tls.VersionTLS12}
	if _, err := t.handshake(ctx, config); err != nil {
		t.close()
		return nil, err
	}
	if d.implicit {
		r, err := t.read(greetingWait)
		if err = expect(r, err, "greeting"); err != nil {
			t.close()
			return nil, err
		}
	}
	r, err := t.ehlo()
	if err = expect(r, err, "EHLO"); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// loggedIn reports the login, and goes on if it worked.
func (c Client) loggedIn(ctx context.Context, t *talk, d *door, report Report) error {
	mechanism, r, err := t.auth(c.User, string(c.Password))
	if err != nil {
		return err
	}
	f := judgeLogin(c.User, mechanism, r)
	f.Where = d.where()
	report(f)
	switch {
	case r.code == 535:
		c.afterRefusal(t, d, report)
		return nil
	case f.Level != Good:
		return nil
	}
	from, to := c.From, c.To
	if from == "" {
		report(Finding{Check: "transaction", Level: Note, What: "not tried: no sender is known", Do: "give the address that the laptop sends as: --from ADDRESS"})
		return nil
	}
	if to == "" {
		to = from
	}
	a, err := t.stranger(from, to)
	if err != nil {
		return err
	}
	f = judgeTransaction(from, to, a)
	f.Where = d.where()
	report(f)
	if c.Send == "" {
		return nil
	}
	return c.send(ctx, t, d, from, report)
}

// afterRefusal goes on without the login on the same connection, as stock Exim does.
func (c Client) afterRefusal(t *talk, d *door, report Report) {
	a, err := t.stranger(c.strangerFrom(), foreignRecipient)
	if err != nil {
		return // the server closes then, which keeps the mail
	}
	f := judgeStranger(loginRefused, a, answer{}, d.addr.Addr())
	f.Where = d.where()
	report(f)
}

// auth logs in with PLAIN, or LOGIN if the server has nothing else. No mechanism: neither is offered.
func (t *talk) auth(user, password string) (mechanism string, r reply, err error) {
	encode := base64.StdEncoding.EncodeToString
	t.mask = deliver.Masking(user, password)
	offered := " " + strings.Join(t.mechanisms(), " ") + " "
	switch {
	case strings.Contains(offered, " PLAIN "):
		r, err = t.cmd("AUTH PLAIN " + encode([]byte("\x00"+user+"\x00"+password)))
		return "PLAIN", r, err
	case strings.Contains(offered, " LOGIN "):
		r, err = t.cmd("AUTH LOGIN")
		for _, word := range []string{user, password} {
			if err != nil || r.code != 334 {
				break
			}
			r, err = t.cmd(encode([]byte(word)))
		}
		return "LOGIN", r, err
	}
	return "", reply{}, nil
}

func judgeLogin(user, mechanism string, r reply) Finding {
	user = clean(user)
	f := Finding{Check: "login", Level: Problem, What: fmt.Sprintf("as %s it is refused: %s", user, r.text()), Detail: map[string]any{"mechanism": mechanism, "reply": r.text()}}
	switch {
	case mechanism == "":
		f.What = "not possible: the server offers neither PLAIN nor LOGIN"
		f.Why = "this program knows these two, as most mail programs do"
		f.Do = "have the server offer PLAIN and LOGIN inside TLS"
		f.Detail = nil
	case r.ok():
		return Finding{Check: "login", What: fmt.Sprintf("as %s, by %s: %s", user, mechanism, r.text()), Detail: f.Detail}
	case r.later():
		f.Level = Warning
		f.What = fmt.Sprintf("as %s it cannot be decided now: %s", user, r.text())
		f.Why = "a passing trouble of the server: mail programs with a queue keep the mail, Exim puts all mail for this server off by 15 minutes or more"
		f.Do = "try again; if it stays, the server cannot reach its accounts"
	case r.code == 535:
		f.Why = "Debian's Exim as it comes goes on without a login and the mail may bounce; dma returns it; Postfix keeps it"
		f.Do = "check user name (some servers want the whole address) and password; some providers want a password for this device alone, or block logins of this kind until allowed"
	default:
		f.Why = "without a login the server takes no mail from elsewhere"
		f.Do = "the server's words say what it wants"
	}
	return f
}

func judgeTransaction(from, to string, a answer) Finding {
	f := Finding{Check: "transaction", Level: Problem, Detail: map[string]any{"from": from, "to": to, "step": a.step, "reply": a.reply.text()},
		What: fmt.Sprintf("a mail from %s to %s would be refused: %s", clean(from), clean(to), a.text())}
	switch {
	case a.taken:
		return Finding{Check: "transaction", Detail: f.Detail, What: fmt.Sprintf("a mail from %s to %s would be taken: %s; nothing was sent", clean(from), clean(to), a.text())}
	case a.later():
		f.Level = Warning
		f.What = fmt.Sprintf("a mail from %s to %s would have to wait: %s", clean(from), clean(to), a.text())
		f.Why = "a limit, or a passing trouble: mail programs with a queue try again, the others fail"
		f.Do = "the server's words say how long, or try again in some minutes"
	case a.step == "MAIL":
		f.Why = "mail from this address bounces, although the login works"
		f.Do = "have the laptop send as an address that belongs to the account (Exim: /etc/email-addresses, Postfix: sender_canonical_maps), or have the operator allow it"
	default:
		f.Why = "the login and the sender are taken, but not this recipient"
		f.Do = "check the address; try another with --to ADDRESS"
	}
	return f
}
