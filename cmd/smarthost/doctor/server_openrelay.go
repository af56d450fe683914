package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// conversationTime is for one conversation as a whole.
const conversationTime = 3 * stepTime

// ports are those at which strangers may try: the submission ports of the config, and 587, to which a container's port may be mapped.
func (v *visit) ports() []uint16 {
	all := []uint16{587}
	for _, p := range v.places() {
		for _, at := range []netip.AddrPort{p.at, p.second} {
			if at.IsValid() && !p.door.Implicit && !slices.Contains(all, at.Port()) {
				all = append(all, at.Port())
			}
		}
	}
	return all
}

// checkOpenRelay comes to the server as a stranger would, through its public addresses, and asks it to take mail for somebody
// else: in clear, and in TLS without a login. It never comes to DATA.
func (v *visit) checkOpenRelay(ctx context.Context) []Finding {
	addrs := v.names.all()
	addrs = addrs[:min(len(addrs), maxShown)]
	if len(addrs) == 0 {
		return []Finding{v.unreached("no address of the host name is known")}
	}
	var places []netip.AddrPort
	for _, a := range addrs {
		for _, p := range v.ports() {
			places = append(places, netip.AddrPortFrom(a, p))
		}
	}
	found := make([][]Finding, len(places))
	var all crew
	for i, at := range places {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, conversationTime)
			defer cancel()
			found[i] = v.tryAsStranger(ctx, at)
		})
	}
	all.Wait()
	var together []Finding
	for i, a := range addrs {
		of := slices.Concat(found[i*len(v.ports()) : (i+1)*len(v.ports())]...)
		if len(of) == 0 {
			of = []Finding{v.unreached(a.String() + " cannot be reached from here")}
		}
		together = append(together, of...)
	}
	return together
}

// unreached is no fault: many routers do not let a machine reach itself through its public address (no hairpin NAT).
func (v *visit) unreached(what string) Finding {
	return Finding{Check: "open relay", Level: Note, What: what + ", so whether strangers can send through it was not tried",
		Why: "a server that takes mail for anybody from anybody is found by spammers within hours", Do: "from a machine outside: smarthost doctor " + v.Hostname}
}

// tryAsStranger says nothing about a place where nobody answers.
func (v *visit) tryAsStranger(ctx context.Context, at netip.AddrPort) []Finding {
	v.Progress.say("port %d at %s, as a stranger", at.Port(), at.Addr())
	inClear, offersTLS, err := v.askAsStranger(ctx, at, false)
	if errors.Is(err, errSilent) {
		return nil
	}
	f := Finding{Check: "open relay", Where: at.String(), Level: Warning, Why: "what strangers may do could not be tried to its end", Do: "from a machine outside: smarthost doctor " + v.Hostname}
	if err != nil {
		f.What = "the conversation broke in clear: " + errorText(err)
		return []Finding{f}
	}
	found := []Finding{judgeRelaying(at, "in clear", inClear)}
	if inClear.step == "" {
		return found
	}
	if !offersTLS {
		f.Level, f.What = Problem, "STARTTLS is not offered"
		f.Why, f.Do = "passwords would go over the network in clear, or nobody can log in", "see what answers at this port; smarthost always offers it"
		return append(found, f)
	}
	inTLS, _, err := v.askAsStranger(ctx, at, true)
	if err != nil {
		f.What = "the conversation broke in TLS: " + errorText(err)
		return append(found, f)
	}
	return append(found, judgeRelaying(at, "in TLS without a login", inTLS))
}

// errSilent tells that nobody greets at a place.
var errSilent = errors.New("nobody greets")

// askAsStranger goes as far as it is let, at most to RCPT. An answer without a step is a greeting or an EHLO that turns us away.
func (v *visit) askAsStranger(ctx context.Context, at netip.AddrPort, secure bool) (a answer, offersTLS bool, err error) {
	t, r, err := v.meet(ctx, at, false)
	if err != nil {
		return a, false, errors.Join(errSilent, err)
	}
	defer func() { t.quit() }()
	if r.ok() {
		r, err = t.ehlo()
	}
	offersTLS = t.offers("STARTTLS")
	if secure && err == nil && r.ok() {
		if r, err = t.cmd("STARTTLS"); err == nil && r.ok() {
			if _, err = t.handshake(ctx, strangerTLS()); err == nil {
				r, err = t.ehlo()
			}
		}
	}
	if err != nil || !r.ok() {
		return answer{reply: r}, offersTLS, err
	}
	a, err = t.stranger("postmaster@example.net", foreignRecipient)
	return a, offersTLS, err
}

// strangerTLS takes any certificate: that has findings of its own, and nothing secret is said here.
func strangerTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
}

// meet connects, within conversationTime, and reads the greeting.
func (v *visit) meet(ctx context.Context, at netip.AddrPort, implicit bool) (*talk, reply, error) {
	conn, err := v.dial(ctx, at)
	if err != nil {
		return nil, reply{}, err
	}
	t := newTalk(ctx, conn)
	if implicit {
		_, err = t.handshake(ctx, strangerTLS())
	}
	var r reply
	if err == nil {
		r, err = t.read(stepTime)
	}
	if err != nil {
		t.close()
	}
	return t, r, err
}

func judgeRelaying(at netip.AddrPort, how string, a answer) Finding {
	f := Finding{Check: "open relay", Where: at.String(), What: fmt.Sprintf("a stranger %s is told: %s", how, a.reply.text()), Detail: map[string]any{"code": a.code}}
	switch {
	case a.taken:
		f.Level, f.What = Problem, fmt.Sprintf("a stranger %s may send to anybody: %s", how, a.reply.text())
		f.Why = "spammers find such a server within hours, and its address is then on every block list"
		f.Do = "see what answers at this address and port: smarthost never does this; if it is another mail server, close its relaying"
	case a.step == "":
		f.Level, f.What = Warning, "it takes nobody: "+a.reply.text()
		f.Why, f.Do = "clients that come through this address cannot send", "read what it says; see the server's log"
	}
	return f
}
