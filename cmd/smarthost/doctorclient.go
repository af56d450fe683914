package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"
	"golang.org/x/term"

	"github.com/seed-1397b510/smarthost/cmd/smarthost/doctor"
	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
)

// newClientDoctor examines the server at target, HOST or HOST:PORT.
func newClientDoctor(env *environment, target string, f *doctorFlags, progress doctor.Progress) (examination, error) {
	host, port, err := parseTarget(target)
	if err != nil {
		return nil, err
	}
	d := doctor.Client{Host: host, Port: port, User: f.user, From: f.from, To: f.to, Send: f.send, Progress: progress}
	for _, a := range []struct{ flag, value string }{{"from", f.from}, {"to", f.to}, {"send", f.send}} {
		if a.value != "" && !plainAddress(a.value) {
			return nil, usageError(fmt.Sprintf("doctor: --%s: %q is not an address such as alice@example.org", a.flag, a.value))
		}
	}
	switch {
	case f.user == "" && (f.send != "" || f.to != "" || f.passwordStdin):
		return nil, usageError("doctor: --send, --to and --password-stdin need --user NAME: mail is sent after a login (see smarthost doctor --help)")
	case f.send != "" && f.from == "" && !plainAddress(f.user):
		return nil, usageError(fmt.Sprintf("doctor: --send needs a sender: %q is no address, so give one with --from ADDRESS", f.user))
	}
	if f.from == "" && plainAddress(f.user) {
		d.From = f.user
	}
	if d.Roots, err = extraRoots(f.ca); err != nil {
		return nil, err
	}
	if f.send != "" {
		if d.Follow, err = followQueue(env, f); err != nil {
			return nil, err
		}
	}
	if f.user != "" {
		d.Password, err = askPassword(env, f, host)
	}
	return d, err
}

// parseTarget takes HOST, HOST:PORT, [IPv6]:PORT and a bare IPv6 address.
func parseTarget(target string) (host string, port int, err error) {
	if scheme, _, ok := strings.Cut(target, "://"); ok {
		return "", 0, usageError(fmt.Sprintf("doctor: leave out %q: name the server alone, such as mx.example.org or mx.example.org:587", scheme+"://"))
	}
	host = target
	if bare, ok := strings.CutSuffix(strings.TrimPrefix(target, "["), "]"); ok && target[0] == '[' {
		host = bare
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return host, 0, nil
	}
	if h, p, err := net.SplitHostPort(target); err == nil {
		host = h
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
			return "", 0, usageError(fmt.Sprintf("doctor: %q: a port is a number from 1 to 65535", target))
		}
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return host, port, nil
	}
	name, err := asciiName(host)
	if err != nil {
		return "", 0, usageError(fmt.Sprintf("doctor: %q is not a server such as mx.example.org or mx.example.org:587", target))
	}
	return name, port, nil
}

// asciiName is a host name as DNS has it, without the final dot. Names that are ASCII already may have underscores, as
// those of containers do.
func asciiName(host string) (string, error) {
	host = strings.TrimSuffix(host, ".")
	name, err := idna.Lookup.ToASCII(host)
	if err != nil {
		name = strings.ToLower(host)
	}
	name = strings.TrimSuffix(name, ".")
	return name, checkHostname(name)
}

// plainAddress tells whether s can stand in MAIL FROM as it is.
func plainAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '<' || r == '>' })
}

// extraRoots are the system's authorities and those of a file; nil = the system's.
func extraRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usageError(fmt.Sprintf("doctor: --ca: %v", err))
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, usageError(fmt.Sprintf("doctor: --ca: %s holds no PEM certificate", file))
	}
	return roots, nil
}

// askPassword reads it from standard input, or asks for it on the terminal, which does not show it.
func askPassword(env *environment, f *doctorFlags, host string) (doctor.Secret, error) {
	fd, interactive := terminal(env.Stdin)
	var line string
	var err error
	switch {
	case f.passwordStdin:
		line, err = bufio.NewReader(io.LimitReader(env.Stdin, 4096)).ReadString('\n')
		if err == io.EOF {
			err = nil
		}
		line = strings.TrimRight(line, "\r\n")
	case interactive:
		fmt.Fprintf(env.Stderr, "Password of %s at %s (it is sent only through verified TLS): ", printable(f.user), host)
		line, err = readHidden(env.Context, fd)
		fmt.Fprintln(env.Stderr)
	default:
		return "", usageError("doctor: --user needs a password: run it on a terminal, or give --password-stdin")
	}
	if err == nil && line == "" {
		err = usageError("doctor: the password is empty")
	}
	return doctor.Secret(line), err
}

// readHidden reads a line without showing it. An interrupt gives the terminal its echo back; the read ends with the process.
func readHidden(ctx context.Context, fd int) (string, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	type result struct {
		line []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		return string(r.line), r.err
	case <-ctx.Done():
		term.Restore(fd, before)
		return "", errFound
	}
}

const (
	followTime = time.Minute
	followStep = 500 * time.Millisecond
)

// followQueue follows a mail through the queue of the config at hand, if the server that took it is on this machine.
func followQueue(env *environment, f *doctorFlags) (func(context.Context, netip.Addr, string) doctor.Finding, error) {
	c, err := loadConfig(env, *f.config)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, server netip.Addr, id string) doctor.Finding {
		if !ownAddress(server) {
			return doctor.Finding{}
		}
		queue, err := sqlitespool.OpenReadOnly(queueFolder(c))
		if err != nil {
			return doctor.Finding{} // another server's, or another user's
		}
		defer queue.Close()
		return follow(ctx, queue, id)
	}, nil
}

func ownAddress(addr netip.Addr) bool {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return addr.IsLoopback()
	}
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(addr.AsSlice()) {
			return true
		}
	}
	return addr.IsLoopback()
}

// follow waits until a mail has left the queue. It says nothing about one that this queue has never had.
func follow(ctx context.Context, queue *sqlitespool.Reader, id string) doctor.Finding {
	start := time.Now()
	tick := time.NewTicker(followStep)
	defer tick.Stop()
	for seen := false; ; seen = true {
		stories, err := queue.Trace(ctx, id, 1)
		waited := time.Since(start)
		switch {
		case err != nil, len(stories) == 0 && !seen:
			return doctor.Finding{}
		case len(stories) == 0: // no history is kept
			return journeyEnded(spool.Story{Envelope: spool.Envelope{ID: id}})
		case len(stories[0].Entries) == 0:
			return journeyEnded(stories[0])
		case waited >= followTime:
			return stillQueued(stories[0].Entries[0], waited)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return stillQueued(stories[0].Entries[0], waited)
		}
	}
}

// journeyEnded is about a mail that has left the queue.
func journeyEnded(s spool.Story) doctor.Finding {
	var last spool.Try
	for _, a := range s.Attempts {
		for _, t := range a.Tries {
			last = t
		}
	}
	f := doctor.Finding{Check: "journey"}
	if last.Reply.Code == 0 {
		f.What = s.ID + " has left the queue: it was handed on, or reported to its sender as undeliverable; the server's log says which"
		return f
	}
	took, said := s.Ended.Sub(s.Arrived), printable(replyText(last.Result))
	f.Detail = map[string]any{"ms": took.Milliseconds(), "hop": printable(last.Hop), "reply": said}
	if last.Hop != "" {
		said = printable(last.Hop) + " says " + said
	}
	f.What = fmt.Sprintf("%s went on to its next hop within %s: %s", s.ID, took.Round(time.Millisecond), said)
	if last.Reply.Code/100 != 2 {
		f.Level, f.What = doctor.Problem, fmt.Sprintf("%s cannot be delivered, and its sender is told so: %s", s.ID, said)
		f.Why, f.Do = "real mail would have got the same answer", "the other server's words say what it wants"
	}
	return f
}

// stillQueued is about a mail that has not left the queue.
func stillQueued(e spool.Entry, waited time.Duration) doctor.Finding {
	f := doctor.Finding{Check: "journey", Level: doctor.Warning, What: fmt.Sprintf("%s is still in the queue after %s: %s", e.ID, waited.Round(time.Second), stateText(e, time.Now())),
		Why: "the next hop does not take it, or cannot be reached", Do: "smarthost queue show " + e.ID}
	for _, r := range e.Recipients {
		if text := replyText(e.Last[r.Address]); text != "" {
			f.What += "; " + printable(r.Address) + ": " + printable(text)
		}
	}
	return f
}
