package deliver

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/route"
)

var (
	codeTLS   = smtp.EnhancedCode{4, 7, 5} // RFC 3463 §3.8: cryptographic failure
	codeLogin = smtp.EnhancedCode{4, 7, 0}
	codeHop   = smtp.EnhancedCode{4, 3, 2} // not accepting messages
)

// errTLS means that STARTTLS was agreed on and did not come about.
type errTLS struct{ *smtp.SMTPError }

// errLogin means that the hop does not let us in: other addresses of it need not be tried.
type errLogin struct{ *smtp.SMTPError }

// A newcomer says how to begin with a new connection.
type newcomer struct {
	hop   route.Hop
	addr  netip.Addr
	clear bool // do not try STARTTLS, it is known to fail
}

// greet does all that comes before the first message: greeting, EHLO, STARTTLS, EHLO, AUTH. On error it closes nc.
func (d *Deliverer) greet(ctx context.Context, nc net.Conn, n newcomer) (_ *conn, err error) {
	c := &conn{nc: nc, hop: n.hop, addr: n.addr, label: label(n.hop, n.addr), timeouts: d.Timeouts.withDefaults(), metrics: d.metrics, opened: time.Now()}
	stop := c.watch(ctx)
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			c.close()
		}
	}()
	if n.hop.TLS == route.Implicit {
		if err := c.handshake(ctx, d.tlsConfig(n.hop)); err != nil {
			return nil, err
		}
	}
	c.br = bufio.NewReader(c.nc)
	begin := time.Now()
	r, err := c.read(c.timeouts.Greeting)
	if err != nil {
		return nil, c.lost("greeting", err)
	}
	if r.code != 220 {
		// RFC 5321 §3.1 lets a 554 greeting stand for "no service here"; the next hop may have one.
		c.farewell()
		return nil, c.refused(codeHop, "greeting", r)
	}
	if err := c.hello(d.Hostname); err != nil {
		return nil, err
	}
	c.metrics.done(stepGreeting, begin)
	if err := d.startTLS(ctx, c, n.clear); err != nil {
		return nil, err
	}
	return c, c.login()
}

// farewell is for a hop that we leave in peace before it is usable.
func (c *conn) farewell() {
	if !c.over {
		c.command("QUIT", c.timeouts.Quit)
	}
}

func (c *conn) hello(name string) error {
	r, err := c.command("EHLO "+name, c.timeouts.Hello)
	if err != nil {
		return c.lost("EHLO", err)
	}
	if r.code/100 == 5 && !c.hop.TLS.Verified() && !c.tls {
		// RFC 5321 §3.2: only a hop that does not know EHLO is asked with HELO. One that owes TLS has to know it.
		if r, err = c.command("HELO "+name, c.timeouts.Hello); err != nil {
			return c.lost("HELO", err)
		}
		if r.ok() {
			r.lines = nil
		}
	}
	if !r.ok() {
		c.farewell()
		return c.refused(codeHop, "EHLO", r)
	}
	c.ext = make(map[string]string, len(r.lines))
	for i, line := range r.lines {
		if i == 0 {
			continue // the hop's name
		}
		keyword, params, _ := strings.Cut(line, " ")
		// "AUTH=PLAIN" is how servers before RFC 2554 wrote it.
		if strings.HasPrefix(strings.ToUpper(keyword), "AUTH=") {
			keyword, params = "AUTH", keyword[5:]+" "+params
		}
		c.ext[strings.ToUpper(keyword)] = params
	}
	return nil
}

// startTLS does what the hop's mode asks for.
func (d *Deliverer) startTLS(ctx context.Context, c *conn, clear bool) error {
	switch {
	case c.hop.TLS == route.Implicit, c.hop.TLS == route.Clear:
		return nil
	case !c.offers("STARTTLS") && c.hop.TLS == route.Opportunistic:
		return nil
	case !c.offers("STARTTLS"):
		c.farewell()
		return temporary(codeTLS, "%s: STARTTLS is not offered, but TLS is required for this hop", c.label)
	case clear:
		c.tlsBroken = true
		return nil
	}
	r, err := c.command("STARTTLS", c.timeouts.Hello)
	if err != nil {
		return c.lost("STARTTLS", err)
	}
	if r.code != 220 {
		if c.hop.TLS == route.Opportunistic && !c.over {
			c.tlsBroken = true
			return nil
		}
		c.farewell()
		return c.refused(codeTLS, "STARTTLS", r)
	}
	if c.br.Buffered() > 0 {
		// Somebody on the way wrote into the conversation before TLS (RFC 3207 §6, response injection).
		return temporary(codeTLS, "%s: STARTTLS: more than a reply was sent before TLS began", c.label)
	}
	if err := c.handshake(ctx, d.tlsConfig(c.hop)); err != nil {
		return err
	}
	c.br = bufio.NewReader(c.nc)
	return c.hello(d.Hostname) // RFC 3207 §4.2: what was offered before is forgotten
}

func (c *conn) handshake(ctx context.Context, config *tls.Config) error {
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if c.hop.TLS.Verified() {
			c.verified = true // crypto/tls has done it
			return nil
		}
		c.verified = verify(state, config) == nil
		return nil
	}
	t := tls.Client(c.nc, config)
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.timeouts.TLS)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		c.over = true
		return errTLS{temporary(codeTLS, "%s: TLS: %s", c.label, tlsCause(err))}
	}
	c.secure(t)
	c.metrics.done(stepTLS, begin)
	return nil
}

// verify learns whether a certificate that does not have to verify would.
func verify(state tls.ConnectionState, config *tls.Config) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	options := x509.VerifyOptions{Roots: config.RootCAs, DNSName: config.ServerName, Intermediates: x509.NewCertPool()}
	for _, cert := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(options)
	return err
}

// tlsConfig is set out in full, for the defaults of crypto/tls follow go.mod (RFC 9325 §4.2).
func (d *Deliverer) tlsConfig(hop route.Hop) *tls.Config {
	trusted := d.trust.Load()
	config := &tls.Config{
		ServerName:         hop.Host,
		RootCAs:            trusted.roots,
		MinVersion:         tls.VersionTLS12,
		ClientSessionCache: trusted.sessions,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
	if !hop.TLS.Verified() {
		// RFC 7435: unverified TLS is better than none, and so are the older ciphers.
		config.InsecureSkipVerify = true
		config.CipherSuites = append(config.CipherSuites,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA)
	}
	return config
}

// tlsCause says why a handshake failed, in words of ours.
func tlsCause(err error) string {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate is for another name"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the certificate is not signed by an authority that we know"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return "the certificate has expired or is not valid yet"
		}
		return "the certificate is not valid"
	}
	if c := cause(err); c != "connection lost" {
		return c
	}
	return "the handshake failed"
}

// maxChallenges bounds the rounds of one login.
const maxChallenges = 8

// login logs in, if the operator wants it. Whatever goes wrong is 4xx: a wrong password of ours is no reason to bounce
// the mail of others.
func (c *conn) login() error {
	if c.hop.User == "" {
		return nil
	}
	if !c.tls || !c.verified {
		return errLogin{temporary(codeLogin, "%s: the login is not sent without verified TLS", c.label)}
	}
	mechanisms := strings.Fields(strings.ToUpper(c.ext["AUTH"]))
	var client sasl.Client
	for _, m := range mechanisms {
		if m == sasl.Plain {
			client = sasl.NewPlainClient("", c.hop.User, string(c.hop.Password))
			break
		}
		if m == sasl.Login {
			client = sasl.NewLoginClient(c.hop.User, string(c.hop.Password))
		}
	}
	if client == nil {
		c.farewell()
		return errLogin{temporary(codeLogin, "%s: AUTH PLAIN or LOGIN is not offered, but a login is configured for this hop", c.label)}
	}
	r, err := c.authenticate(client)
	if err != nil {
		return c.lost("AUTH", err)
	}
	if r.code != 235 {
		c.farewell()
		mask := Masking(c.hop.User, string(c.hop.Password))
		for i := range r.lines {
			r.lines[i] = mask.Replace(r.lines[i])
		}
		return errLogin{c.refused(codeLogin, "our login was refused, see the relay's user and password", r)}
	}
	return nil
}

func (c *conn) authenticate(client sasl.Client) (reply, error) {
	mechanism, initial, err := client.Start()
	if err != nil {
		return reply{}, err
	}
	r, err := c.command("AUTH "+mechanism+" "+base64.StdEncoding.EncodeToString(initial), c.timeouts.Hello)
	for range maxChallenges {
		if err != nil || r.code != 334 {
			return r, err
		}
		answer := "*" // RFC 4954 §4: give up
		if len(r.lines) == 1 {
			if challenge, err := base64.StdEncoding.DecodeString(r.lines[0]); err == nil {
				if response, err := client.Next(challenge); err == nil {
					answer = base64.StdEncoding.EncodeToString(response)
				}
			}
		}
		r, err = c.command(answer, c.timeouts.Hello)
	}
	return reply{}, errReply
}
