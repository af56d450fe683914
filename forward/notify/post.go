package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

const (
	postLimit    = 10 * time.Second // for one POST, from the lookup of the name to the end of the answer
	answerLimit  = 64 << 10         // octets of an answer that are read, so that the connection can be kept
	headerLimit  = 16 << 10
	secretPrefix = "whsec_"
	shortest     = 24 // octets of a secret, as the specification says
	longest      = 64
)

// ParseSecret reads a secret in the form of the specification: whsec_ and base64.
func ParseSecret(text string) ([]byte, error) {
	body, ok := strings.CutPrefix(text, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(body)
	if !ok || err != nil || len(key) < shortest || len(key) > longest {
		return nil, errors.New(`must be "whsec_" and the base64 of 24 to 64 random octets; echo whsec_$(openssl rand -base64 32) makes one`)
	}
	return key, nil
}

// CheckURL says what is wrong with the URL of a hook. The URL itself, which may hold a secret, is not in the error.
func CheckURL(text string, private bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New(`must be a URL such as "https://example.org/mail-events"`)
	case u.User != nil:
		return errors.New("must not hold a login; requests are signed with secret")
	case u.Scheme == "http" && !private:
		return errors.New(`must begin with https://; http:// is for your own network, with private = true`)
	}
	return nil
}

// newClient makes a client that reaches nothing but what the hook may.
func newClient(h *Hook) *http.Client {
	dialer := &net.Dialer{Timeout: postLimit}
	if !h.Private {
		// Here the name has become an address, and it is this very one that is connected to.
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			if to, err := netip.ParseAddrPort(address); err != nil || !public(to.Addr()) {
				return fmt.Errorf("its address %s is not a public one; private = true allows that", address)
			}
			return nil
		}
	}
	return &http.Client{
		Timeout:       postLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: h.RootCAs, MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost:    together,
			MaxConnsPerHost:        together,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: headerLimit,
			ForceAttemptHTTP2:      true,
		},
	}
}

// notPublic are networks that Go's netip has no word for: RFC 6890 and its registries.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("::/96"), netip.MustParsePrefix("fec0::/10"),
	// An IPv4 address is in these, and another machine makes it one: NAT64 (RFC 6052, RFC 8215), Teredo, 6to4.
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("2002::/16"),
}

// public tells that an address is reached over the internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// sign is the value of webhook-signature.
func sign(secret []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// post makes one attempt. Only an answer of 2xx is a yes. Errors name no URL.
func (n *Notifier) post(ctx context.Context, h *Hook, client *http.Client, notice *spool.Notice, now time.Time) error {
	if notice.Body == nil {
		return errors.New("the event is damaged on disk")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(notice.Body))
	if err != nil {
		return errors.New("its URL cannot be used")
	}
	timestamp := strconv.FormatInt(now.Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", cmp.Or(n.Agent, "smarthost"))
	r.Header.Set("webhook-id", notice.ID)
	r.Header.Set("webhook-timestamp", timestamp)
	r.Header.Set("webhook-signature", sign(h.Secret, notice.ID, timestamp, notice.Body))
	answer, err := client.Do(r)
	if err != nil {
		if fault, ok := errors.AsType[*url.Error](err); ok {
			err = fault.Err
		}
		return err
	}
	defer answer.Body.Close()
	io.CopyN(io.Discard, answer.Body, answerLimit) // what it says does not matter, nor does how that ends
	switch {
	case answer.StatusCode/100 == 2:
		return nil
	case answer.StatusCode/100 == 3:
		return fmt.Errorf("it answered %d; redirects are not followed: give the URL that it leads to", answer.StatusCode)
	}
	return fmt.Errorf("it answered %d", answer.StatusCode)
}
