package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/forward/route"
)

// A setting is one key of the config: its words for people, its default, and where its value goes.
type setting struct {
	key      string
	comment  string
	standard string // the default, as TOML
	secret   bool   // also taken from the file that SMARTHOST_<KEY>_FILE names, never printed
	set      func(c *Config, v any) error
}

// settings is every key but the classes of limits, in the order in which `smarthost config` prints them.
var settings = []setting{
	{"hostname", "the name that this server has in DNS; greets clients, and is the EHLO name to other servers", `""  # the machine's own name`, false,
		text(func(c *Config) *string { return &c.Hostname }, optional(checkHostname))},
	{"data", "folder of the queue, the accounts and what the server makes itself", `""  # /var/lib/smarthost, or ~/.local/state/smarthost without root`, false,
		text(func(c *Config) *string { return &c.Data }, nil)},

	{"listen.submission", "addresses for STARTTLS (RFC 6409)", `[":587"]`, false,
		list(func(c *Config) *[]string { return &c.Listen.Submission }, checkAddress)},
	{"listen.submissions", "addresses for TLS from the first octet (RFC 8314)", `[":465"]`, false,
		list(func(c *Config) *[]string { return &c.Listen.Submissions }, checkAddress)},
	{"listen.per_address", "concurrent connections from one address (IPv6: one /64); 0 = no limit", `50`, false,
		number(func(c *Config) *int { return &c.Listen.PerAddress }, 0, 1_000_000)},
	{"listen.max_connections", "concurrent connections in all; 0 = no limit", `20000`, false,
		number(func(c *Config) *int { return &c.Listen.MaxConnections }, 0, 10_000_000)},
	{"listen.admin", "address for health and API, such as \"127.0.0.1:8587\" or \"unix:/path\"; \"\" = none but the socket in data", `"127.0.0.1:8587"`, false,
		text(func(c *Config) *string { return &c.Listen.Admin }, checkAdmin)},
	{"listen.drain", "how long /readyz says no, at the end, before the doors close; for load balancers", `"0s"`, false,
		duration(func(c *Config) *time.Duration { return &c.Listen.Drain }, 0, 10*time.Minute)},
	{"listen.proxies", "load balancers that begin with a PROXY protocol header (v1 or v2), as addresses or prefixes", `[]`, false,
		list(func(c *Config) *[]string { return &c.Listen.Proxies }, checkPrefix)},
	{"listen.acme_http", "with tls.acme: where the authority's check of port 80 (HTTP-01) is answered while it runs; \"\" = nowhere", `":80"`, false,
		text(func(c *Config) *string { return &c.Listen.ACMEHTTP }, optional(checkAddress))},
	{"listen.acme_tls", "with tls.acme: where its check of port 443 (TLS-ALPN-01) is; one of the two is enough", `":443"`, false,
		text(func(c *Config) *string { return &c.Listen.ACMETLS }, optional(checkAddress))},

	{"tls.certificate", "PEM file of the certificate and its chain, read again when it changes; empty = one from a private CA in data", `""`, false,
		text(func(c *Config) *string { return &c.TLS.Certificate }, nil)},
	{"tls.key", "PEM file of the certificate's private key", `""`, false,
		text(func(c *Config) *string { return &c.TLS.Key }, nil)},
	{"tls.acme", "get the certificate from an ACME authority (RFC 8555), and renew it; true accepts the authority's terms of service", `false`, false,
		boolean(func(c *Config) *bool { return &c.TLS.ACME })},
	{"tls.acme_email", "where the authority may write to, if it does", `""`, false,
		text(func(c *Config) *string { return &c.TLS.ACMEEmail }, optional(checkEmail))},
	{"tls.acme_directory", "URL of the authority's directory", `"https://acme-v02.api.letsencrypt.org/directory"  # Let's Encrypt`, false,
		text(func(c *Config) *string { return &c.TLS.ACMEDirectory }, checkDirectory)},
	{"tls.acme_ca", "PEM file of the root certificate of a private authority", `""`, false,
		text(func(c *Config) *string { return &c.TLS.ACMECA }, nil)},

	{"accounts.file", "the accounts, relative to data; lines of htpasswd -B work as they are", `"users"`, false,
		text(func(c *Config) *string { return &c.Accounts.File }, checkNotEmpty)},

	{"submission.unauthenticated", "what mail without a login is told: \"grace\" (530; 451 after a passing trouble), \"reject\" (530), \"defer\" (451)", `"grace"`, false,
		text(func(c *Config) *string { return &c.Submission.Unauthenticated }, oneOf("grace", "reject", "defer"))},
	{"submission.help", "URL shown in refusals", `""`, false,
		text(func(c *Config) *string { return &c.Submission.Help }, optional(checkURL))},
	{"submission.max_message_size", "octets of one message", `"50MiB"`, false,
		size(func(c *Config) *int64 { return &c.Submission.MaxMessageSize }, 64<<10, 10<<30)},
	{"submission.max_recipients", "recipients of one message; at least 100 (RFC 5321 §4.5.3.1.8)", `200`, false,
		number(func(c *Config) *int { return &c.Submission.MaxRecipients }, 100, 100_000)},
	{"submission.duplicate_window", "how long a message sent twice by the same account is kept from being queued twice; \"0s\" = never", `"1h"`, false,
		duration(func(c *Config) *time.Duration { return &c.Submission.DuplicateWindow }, 0, 30*24*time.Hour)},
	{"submission.client_address", "write the client's address into Received", `false`, false,
		boolean(func(c *Config) *bool { return &c.Submission.ClientAddress })},

	{"forward.relay", "\"\" = to the MX of each recipient; or \"smtp://user:password@host:587\", \"smtps://…:465\"", `""`, true,
		text(func(c *Config) *string { return &c.Forward.Relay }, optional(checkRelay))},
	{"forward.relay_password_file", "file that holds the relay's password, if it is not in the URL", `""`, false,
		text(func(c *Config) *string { return &c.Forward.RelayPasswordFile }, nil)},
	{"forward.ca", "PEM file of more certificate authorities to trust at the relay", `""`, false,
		text(func(c *Config) *string { return &c.Forward.CA }, nil)},
	{"forward.allow_loopback", "deliver to mail servers whose address is a loopback one", `false`, false,
		boolean(func(c *Config) *bool { return &c.Forward.AllowLoopback })},
	{"forward.family", "address families over which mail leaves: \"any\" = both, whichever answers first; or \"ipv4\", \"ipv6\"", `"any"`, false,
		family(func(c *Config) *route.Family { return &c.Forward.Family })},
	{"forward.retry", "waits between attempts; the last one repeats", `["1m", "5m", "15m", "1h"]`, false, setRetry},
	{"forward.give_up", "age at which undelivered mail is returned to its sender", `"5d"`, false,
		duration(func(c *Config) *time.Duration { return &c.Forward.GiveUp }, time.Minute, 60*24*time.Hour)},
	{"forward.connections", "deliveries at the same time; one account holds 89 of 100 at most while it is alone, and less the more others want", `100`, false,
		number(func(c *Config) *int { return &c.Forward.Connections }, 1, 10_000)},
	{"forward.per_destination", "of them, those to one destination, as all mail for a relay is; accounts share these too: with 2 or more, one account never holds all", `10`, false,
		number(func(c *Config) *int { return &c.Forward.PerDestination }, 1, 10_000)},

	{"queue.history", "how long smarthost trace knows what became of a message after its end; \"0s\" = nothing is written down", `"7d"`, false,
		duration(func(c *Config) *time.Duration { return &c.Queue.History }, 0, 366*24*time.Hour)},

	{"digest.to", "where a mail goes each day that tells what was accepted, delivered, deferred, failed and refused; \"\" = nowhere", `""`, false,
		text(func(c *Config) *string { return &c.Digest.To }, optional(checkEmail))},
	{"digest.at", "when it goes, by this machine's clock", `"07:00"`, false,
		timeOfDay(func(c *Config) *clockTime { return &c.Digest.At })},

	{"log.format", "\"json\", \"text\", or \"auto\": text on a terminal, JSON elsewhere", `"auto"`, false,
		text(func(c *Config) *string { return &c.Log.Format }, oneOf("auto", "json", "text"))},
}

// absent are keys that the design names and this version does not have: they say so instead of doing nothing.
var absent = map[string]string{
	"database.url": "this version keeps its queue in data only, PostgreSQL is not supported; remove the key",
}

func text(field func(*Config) *string, check func(string) error) func(*Config, any) error {
	return func(c *Config, v any) error {
		s, ok := v.(string)
		if !ok {
			return errors.New("must be a string in quotes")
		}
		if check != nil {
			if err := check(s); err != nil {
				return err
			}
		}
		*field(c) = s
		return nil
	}
}

func family(field func(*Config) *route.Family) func(*Config, any) error {
	return func(c *Config, v any) error {
		word, ok := v.(string)
		if !ok {
			return errors.New(`must be "any", "ipv4" or "ipv6"`)
		}
		f, err := route.ParseFamily(word)
		if err != nil {
			return err
		}
		*field(c) = f
		return nil
	}
}

func list(field func(*Config) *[]string, check func(string) error) func(*Config, any) error {
	return func(c *Config, v any) error {
		words, err := stringList(v)
		if err != nil {
			return err
		}
		var faults []error
		for _, w := range words {
			if err := check(w); err != nil {
				faults = append(faults, err)
			}
		}
		*field(c) = words
		return errors.Join(faults...)
	}
}

func stringList(v any) ([]string, error) {
	switch v := v.(type) {
	case string: // from the environment: words between commas
		words := []string{}
		for w := range strings.SplitSeq(v, ",") {
			if w = strings.TrimSpace(w); w != "" {
				words = append(words, w)
			}
		}
		return words, nil
	case []any:
		words := make([]string, len(v))
		for i, w := range v {
			s, ok := w.(string)
			if !ok {
				return nil, fmt.Errorf(`must be a list of strings such as ["a", "b"]; element %d is not a string`, i+1)
			}
			words[i] = s
		}
		return words, nil
	}
	return nil, errors.New(`must be a list of strings such as ["a", "b"]`)
}

func number(field func(*Config) *int, least, most int) func(*Config, any) error {
	return func(c *Config, v any) error {
		n, ok := v.(int64)
		if s, isText := v.(string); isText {
			parsed, err := strconv.ParseInt(s, 10, 64)
			n, ok = parsed, err == nil
		}
		if !ok || n < int64(least) || n > int64(most) {
			return fmt.Errorf("must be a whole number from %d to %d, without quotes", least, most)
		}
		*field(c) = int(n)
		return nil
	}
}

func boolean(field func(*Config) *bool) func(*Config, any) error {
	return func(c *Config, v any) error {
		switch v {
		case true, "true", "yes", "1":
			*field(c) = true
		case false, "false", "no", "0":
			*field(c) = false
		default:
			return errors.New("must be true or false, without quotes")
		}
		return nil
	}
}

func duration(field func(*Config) *time.Duration, least, most time.Duration) func(*Config, any) error {
	return func(c *Config, v any) error {
		s, _ := v.(string)
		d, err := parseDuration(s)
		if err != nil {
			return err
		}
		if d < least || d > most {
			return fmt.Errorf("must be from %s to %s", spanText(least), spanText(most))
		}
		*field(c) = d
		return nil
	}
}

// spanText writes whole minutes, hours and days as parseDuration reads them and people write them.
func spanText(d time.Duration) string {
	switch {
	case d == 0 || d%time.Minute != 0:
		return d.String()
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}

// parseDuration is time.ParseDuration that also knows whole days.
func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New(`must be a duration in quotes such as "90s", "15m", "1h30m" or "5d"`)
	}
	return d, nil
}

func size(field func(*Config) *int64, least, most int64) func(*Config, any) error {
	return func(c *Config, v any) error {
		n, err := parseSize(v)
		if err != nil {
			return err
		}
		if n < least || n > most {
			return fmt.Errorf("must be from %d KiB to %d MiB", least>>10, most>>20)
		}
		*field(c) = n
		return nil
	}
}

func parseSize(v any) (int64, error) {
	if n, ok := v.(int64); ok {
		return n, nil
	}
	s, _ := v.(string)
	digits := strings.TrimRight(s, "kKMGiB ")
	unit, known := map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1e3, "MB": 1e6, "GB": 1e9}[strings.TrimSpace(s[len(digits):])]
	n, err := strconv.ParseInt(digits, 10, 40)
	if err != nil || !known || n < 0 || n > math.MaxInt64/unit {
		return 0, errors.New(`must be a size such as "50MiB" (B, KiB, MiB, GiB, kB, MB, GB)`)
	}
	return n * unit, nil
}

func setRetry(c *Config, v any) error {
	words, err := stringList(v)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return errors.New(`must name at least one wait, such as ["1m", "1h"]`)
	}
	waits := make([]time.Duration, len(words))
	for i, w := range words {
		if waits[i], err = parseDuration(w); err != nil {
			return err
		}
		if waits[i] < time.Second || waits[i] > 7*24*time.Hour {
			return fmt.Errorf("the wait %q must be from 1s to 7d", w)
		}
	}
	c.Forward.Retry = waits
	return nil
}

// optional lets a check pass the empty string.
func optional(check func(string) error) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return check(s)
	}
}

func checkNotEmpty(s string) error {
	if s == "" {
		return errors.New("must not be empty")
	}
	return nil
}

func checkHostname(s string) error {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return fmt.Errorf(`%q is not a host name; it must be letters, digits, hyphens and dots such as "mx.example.org"`, s)
		}
	}
	return nil
}

func checkAddress(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err == nil && host != "" && checkHostname(host) != nil {
		_, err = netip.ParseAddr(host)
	}
	if err != nil {
		return fmt.Errorf(`%q is not an address to listen on; it must be such as ":587", "192.0.2.1:587" or "[2001:db8::1]:587"`, s)
	}
	return nil
}

func checkPrefix(s string) error {
	_, err := parsePrefix(s)
	return err
}

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Prefix(addr.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf(`%q is neither an address nor a prefix such as "192.0.2.0/24"`, s)
	}
	return p, nil
}

func oneOf(words ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(words, s) {
			return fmt.Errorf(`is %q; must be "%s"`, s, strings.Join(words, `" or "`))
		}
		return nil
	}
}

func checkURL(s string) error {
	if u, err := url.Parse(s); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(s) > 200 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf(`must be a URL such as "https://example.org/mail" of at most 200 ASCII signs`)
	}
	return nil
}

// inFolder makes a path that a file names relative to that file's folder.
func inFolder(folder, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(folder, path)
}
