package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/crypto/acme"
)

func TestACMEConfig(t *testing.T) {
	const on = "hostname = \"mx.example.org\"\n[tls]\nacme = true\n"
	for text, want := range map[string]string{
		on: "",
		on + "acme_email = \"postmaster@example.org\"\n[listen]\nacme_tls = \"\"\n": "",
		"hostname = \"mx.internal\"\n[tls]\nacme = true\nacme_ca = \"root.pem\"\n":  "",
		on + "certificate = \"c\"\nkey = \"k\"\n":                                   "two ways to the same thing",
		on + "acme_email = \"Post <a@b.example>\"\n":                                "is not a mail address",
		on + "acme_directory = \"http://ca.example/dir\"\n":                         "must be an https URL",
		on + "[listen]\nacme_http = \"\"\nacme_tls = \"\"\n":                        "are both empty",
		on + "[listen]\nacme_http = \"80\"\n":                                       "is not an address to listen on",
		on + "[listen]\nacme_http = \":587\"\n":                                     `listen.acme_http: ":587" is listened on for something else`,
		on + "[listen]\nacme_http = \"127.0.0.1:443\"\n":                            `listen.acme_tls: ":443" is listened on for something else`,
		on + "[listen]\nsubmissions = [\"192.0.2.1:443\"]\n":                        "something else already (\"192.0.2.1:443\")",
		"hostname = \"mx\"\n[tls]\nacme = true\n":                                   `"mx" is not a name in public DNS`,
		"hostname = \"mx.local\"\n[tls]\nacme = true\n":                             "is not a name in public DNS",
		"hostname = \"192.0.2.1\"\n[tls]\nacme = true\n":                            "is not a name in public DNS",
		"hostname = \"my_mx.example.org\"\n[tls]\nacme = true\n":                    "is not a name in public DNS",
		"[tls]\nacme_email = \"a@example.org\"\n":                                   "has no use while tls.acme is not true",
		"[tls]\nacme_ca = \"root.pem\"\n":                                           "has no use while tls.acme is not true",
		"[tls]\nacme = 1\n":                                                         "must be true or false",
	} {
		_, err := loadConfig(testEnvironment(t, nil), writeConfig(t, text))
		if err == nil && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestConfigCheckReadsTheAuthority(t *testing.T) {
	path := writeConfig(t, "hostname = \"mx.example.org\"\n[tls]\nacme = true\nacme_ca = \"missing.pem\"\n")
	err := configCommand(testEnvironment(t, nil), []string{"check", path})
	if err == nil || !strings.Contains(err.Error(), "tls.acme_ca: open ") {
		t.Errorf("got %v", err)
	}
}

// Trial authorities and real ones do not get into each other's way.
func TestDirectoryName(t *testing.T) {
	for directory, want := range map[string]string{
		"https://acme-v02.api.letsencrypt.org/directory":         "acme-v02.api.letsencrypt.org_directory",
		"https://acme-staging-v02.api.letsencrypt.org/directory": "acme-staging-v02.api.letsencrypt.org_directory",
		"https://ca.internal:9000/acme/../acme/directory":        "ca.internal_9000_acme_.._acme_directory",
	} {
		if got := directoryName(directory); got != want {
			t.Errorf("%s: %s, want %s", directory, got, want)
		}
	}
}

// Whatever an authority says no with, the log says what to do.
func TestACMEAdvice(t *testing.T) {
	a := &acmeIssuer{Hostname: "mx.example.org", Directory: "https://ca.example/dir", Folder: "/d"}
	for kind, want := range map[string]string{
		"connection":              "firewall",
		"dns":                     "A record",
		"unauthorized":            "answered by something else",
		"caa":                     "CAA",
		"rateLimited":             "left alone",
		"rejectedIdentifier":      "set hostname",
		"externalAccountRequired": "another tls.acme_directory",
		"invalidContact":          "tls.acme_email",
		"userActionRequired":      "https://ca.example/terms",
		"serverInternal":          "passes by itself",
		"":                        "passes by itself",
	} {
		problem := &acme.Error{ProblemType: "urn:ietf:params:acme:error:" + kind, Instance: "https://ca.example/terms"}
		for _, err := range []error{problem, &acme.OrderError{Problem: problem}, &acme.AuthorizationError{Errors: []error{problem}}} {
			if got := a.advice(err); !strings.Contains(got, want) {
				t.Errorf("%s (%T): %q, want %q", kind, err, got, want)
			}
		}
	}
	if got := a.advice(&url.Error{Err: &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}}); !strings.Contains(got, "clock") {
		t.Errorf("for a wrong clock: %q", got)
	}
	if got := a.advice(&acme.OrderError{}); got == "" {
		t.Error("no words for an order without a problem")
	}
	if got := a.advice(json.Unmarshal([]byte("<html>"), &struct{}{})); got == "" {
		t.Error("no words for an answer that is none")
	}
}

func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]float64{"": 0, "120": 120, "-5": 0, "x": 0, "99999999999999": 0, "Mon, 02 Jan 2006 15:04:05 GMT": 0} {
		if got := retryAfter(http.Header{"Retry-After": {text}}).Seconds(); got != want {
			t.Errorf("%q: %v s, want %v", text, got, want)
		}
	}
	if retryAfter(nil) != 0 {
		t.Error("no header is a wait")
	}
}
