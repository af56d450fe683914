package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

var notice = spool.Notice{Number: 1, ID: "event1", Body: []byte(`{"version":1}`)}

// listen starts a listener with TLS, and a hook for it.
func listen(t *testing.T, handler http.HandlerFunc) *Hook {
	t.Helper()
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &Hook{Name: "hook", URL: s.URL + "/in?token=hidden7", Secret: []byte("key of the signatures"), Private: true, RootCAs: roots}
}

func post(t *testing.T, h *Hook) error {
	t.Helper()
	client := newClient(h)
	defer client.CloseIdleConnections()
	err := new(Notifier).post(t.Context(), h, client, &notice, time.Unix(1_700_000_000, 0))
	if err != nil && strings.Contains(err.Error(), "hidden7") {
		t.Errorf("the error shows the URL: %v", err)
	}
	return err
}

func TestRequest(t *testing.T) {
	h := listen(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != string(notice.Body) || r.Method != http.MethodPost || r.URL.RequestURI() != "/in?token=hidden7" {
			t.Errorf("%s %s, %q, %v", r.Method, r.URL, body, err)
		}
		mac := hmac.New(sha256.New, []byte("key of the signatures"))
		io.WriteString(mac, "event1.1700000000."+string(body))
		for name, want := range map[string]string{"Content-Type": "application/json", "User-Agent": "smarthost", "webhook-id": "event1", "webhook-timestamp": "1700000000",
			"webhook-signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	})
	if err := post(t, h); err != nil {
		t.Error(err)
	}
}

// The example of the Standard Webhooks specification's libraries: any of them can verify what we sign.
func TestSignature(t *testing.T) {
	key, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What is no 2xx is no yes; a redirect is not followed.
func TestAnswers(t *testing.T) {
	var other atomic.Int64
	elsewhere := listen(t, func(http.ResponseWriter, *http.Request) { other.Add(1) })
	for code, want := range map[int]string{200: "", 202: "", 204: "", 302: "redirects are not followed", 307: "redirects are not followed", 404: "answered 404", 410: "answered 410", 500: "answered 500"} {
		h := listen(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(code)
		})
		err := post(t, h)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d: %v, want %q", code, err, want)
		}
	}
	if other.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// An answer without an end holds nothing up.
func TestEndlessAnswer(t *testing.T) {
	h := listen(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 8<<10)); err != nil {
				return
			}
		}
	})
	begin := time.Now()
	if err := post(t, h); err != nil || time.Since(begin) > postLimit/2 {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

func TestCertificateIsVerified(t *testing.T) {
	var n atomic.Int64
	h := listen(t, func(http.ResponseWriter, *http.Request) { n.Add(1) })
	h.RootCAs = x509.NewCertPool()
	if err := post(t, h); err == nil || !strings.Contains(err.Error(), "certificate") || n.Load() != 0 {
		t.Errorf("%v, and %d requests", err, n.Load())
	}
}

// A hook whose name leads to this machine is not connected to unless it may.
func TestPrivateAddressIsRefused(t *testing.T) {
	var n atomic.Int64
	h := listen(t, func(http.ResponseWriter, *http.Request) { n.Add(1) })
	h.Private = false
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		h.URL = strings.Replace(h.URL, "127.0.0.1", host, 1)
		if err := post(t, h); err == nil || !strings.Contains(err.Error(), "is not a public one") || n.Load() != 0 {
			t.Errorf("%s: %v, and %d requests", host, err, n.Load())
		}
		h.URL = strings.Replace(h.URL, host, "127.0.0.1", 1)
	}
}

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"93.184.215.14": true, "2606:2800:21f:cb07::1": true, "::ffff:93.184.215.14": true,
		"127.0.0.1": false, "127.8.8.8": false, "0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.64.0.1": false, "192.0.0.8": false, "198.18.0.1": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::127.0.0.1": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd12::1": false, "fec0::1": false, "ff02::1": false,
		"::ffff:10.0.0.1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::a00:1": false, "2002:7f00:1::": false, "2001:0:1::": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestParseSecret(t *testing.T) {
	for n, want := range map[int]bool{0: false, 23: false, 24: true, 64: true, 65: false} {
		text := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n))
		if key, err := ParseSecret(text); (err == nil) != want || want && len(key) != n {
			t.Errorf("%d octets: %v", n, err)
		}
	}
	for _, text := range []string{"", "whsec_", "whsec_%", base64.StdEncoding.EncodeToString(make([]byte, 32))} {
		if _, err := ParseSecret(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// A listener that says nothing is waited for no longer than the limit.
func TestDeadline(t *testing.T) {
	h := listen(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // else the end of the connection is not seen
		<-r.Context().Done()
	})
	client := newClient(h)
	if client.Timeout != postLimit {
		t.Errorf("the limit is %v", client.Timeout)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := new(Notifier).post(ctx, h, client, &notice, time.Now()); err == nil {
		t.Error("silence is a yes")
	}
	client.CloseIdleConnections()
}
