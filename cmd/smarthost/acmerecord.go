package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
)

// acmeRecord is what has to outlive a restart, so that a server that starts again and again asks no more often than one that runs.
type acmeRecord struct {
	Hostname string    `json:"hostname"`
	Again    time.Time `json:"again,omitzero"`     // nothing is asked before
	Ordered  time.Time `json:"ordered,omitzero"`   // when the last order was placed that has brought no certificate
	Failures int       `json:"failures,omitempty"` // attempts since the last success
	First    string    `json:"first,omitempty"`    // the kind of check to offer first
	Order    string    `json:"order,omitempty"`    // URL of the order in hand
	Key      []byte    `json:"key,omitempty"`      // of that order's certificate, PKCS #8
}

func (a *acmeIssuer) recordFile() string { return filepath.Join(a.Folder, "order.json") }

// read is the record, or an empty one if there is none for this name or it cannot be read.
func (a *acmeIssuer) read() *acmeRecord {
	r := new(acmeRecord)
	text, err := os.ReadFile(a.recordFile())
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	if err != nil || r.Hostname != a.Hostname {
		return &acmeRecord{Hostname: a.Hostname}
	}
	return r
}

func (a *acmeIssuer) write(r *acmeRecord) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return writeFile(a.recordFile(), text, 0o600)
}

// again is the time before which nothing is asked. What is too far ahead was written when the clock was wrong.
func (r *acmeRecord) again(now time.Time) time.Time {
	if r.Again.Sub(now) > acmeForgotten {
		return time.Time{}
	}
	return r.Again
}

// fail notes a failure. What the authority refused costs an hour, or as long as it says; what it never heard of, or only half, a
// minute that doubles up to an hour.
func (r *acmeRecord) fail(err error, now time.Time) {
	wait := min(time.Minute<<min(r.Failures, 6), acmeBetween)
	r.Failures++
	if asked, refused := refusal(err); refused {
		wait = max(acmeBetween, asked)
	}
	r.Again = now.Add(spread(min(wait, max(acmeBetween, acmeForgotten*8/10))))
}

// refusal tells that the authority itself said no, and how long it wants to be left alone.
func refusal(err error) (wait time.Duration, refused bool) {
	if problem, ok := errors.AsType[*acme.Error](err); ok && problem.StatusCode < 500 {
		return retryAfter(problem.Header), true
	} else if ok {
		return retryAfter(problem.Header), retryAfter(problem.Header) > 0
	}
	_, check := errors.AsType[*acme.AuthorizationError](err)
	_, order := errors.AsType[*acme.OrderError](err)
	return 0, check || order || errors.Is(err, errTooEarly)
}

// retryAfter reads the field of RFC 9110 §10.2.3.
func retryAfter(h http.Header) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
