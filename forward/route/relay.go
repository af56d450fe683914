package route

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// A Relay is the upstream that takes all mail.
type Relay struct {
	Host     string // name, or IP address without brackets
	Port     uint16
	TLS      TLSMode
	User     string // "" = do not log in
	Password Secret
}

const (
	submissionPort  = 587 // RFC 6409 §3.1
	submissionsPort = 465 // RFC 8314 §7.3
)

// ParseRelay reads "smtp://user:password@host:587" (STARTTLS) or "smtps://user:password@host:465" (TLS at once).
// The port may be left out; user and password may be percent-encoded. TLS is required and verified, except that a relay
// without a login may be given as "smtp://host?tls=opportunistic" or "smtp://host?tls=none".
// Errors never repeat the password.
func ParseRelay(text string) (Relay, error) {
	u, err := url.Parse(text)
	if err != nil {
		// The error of url.Parse repeats its input, and so the password.
		return Relay{}, errors.New("relay: not a URL of the form smtp://user:password@host:587 " +
			"(signs such as / # % @ in the password must be percent-encoded)")
	}
	r := Relay{Host: strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")}
	switch strings.ToLower(u.Scheme) {
	case "smtp":
		r.TLS, r.Port = Required, submissionPort
	case "smtps":
		r.TLS, r.Port = Implicit, submissionsPort
	default:
		return Relay{}, errors.New("relay: must begin with smtp:// (STARTTLS) or smtps:// (TLS at once)")
	}
	if err := r.place(u); err != nil {
		return Relay{}, err
	}
	if err := r.login(u.User); err != nil {
		return Relay{}, err
	}
	return r, r.options(u)
}

func (r *Relay) place(u *url.URL) error {
	if u.Opaque != "" || (u.Path != "" && u.Path != "/") || u.Fragment != "" {
		return errors.New("relay: nothing may follow host and port but ?tls= " +
			"(signs such as / # ? in the password must be percent-encoded)")
	}
	if _, err := netip.ParseAddr(r.Host); err != nil {
		name, err := domainName(r.Host)
		if err != nil {
			return fmt.Errorf("relay: %q is not a host name", r.Host)
		}
		r.Host = name
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("relay: port %q is not a number from 1 to 65535", p)
		}
		r.Port = uint16(n)
	}
	return nil
}

func (r *Relay) login(u *url.Userinfo) error {
	if u == nil {
		return nil
	}
	password, _ := u.Password()
	if u.Username() == "" || password == "" {
		return errors.New("relay: a login needs both user and password")
	}
	if strings.ContainsFunc(u.Username()+password, unicode.IsControl) {
		return errors.New("relay: user and password may not hold control characters")
	}
	r.User, r.Password = u.Username(), Secret(password)
	return nil
}

func (r *Relay) options(u *url.URL) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("relay: what follows the question mark is not of the form tls=…")
	}
	for key, values := range query {
		if key != "tls" || len(values) != 1 {
			return fmt.Errorf("relay: unknown or repeated option %q; there is tls", key)
		}
		mode := r.TLS
		switch values[0] {
		case "required":
		case "opportunistic":
			mode = Opportunistic
		case "none":
			mode = Clear
		default:
			return fmt.Errorf("relay: tls=%s is not one of required, opportunistic, none", values[0])
		}
		if mode != r.TLS && r.TLS == Implicit {
			return errors.New("relay: smtps:// always means verified TLS; use smtp:// for less")
		}
		if mode != r.TLS && r.User != "" {
			return errors.New("relay: a password is only sent in verified TLS; leave out tls= or the login")
		}
		r.TLS = mode
	}
	return nil
}
