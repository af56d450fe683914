// Package limit counts what accounts send, in token buckets of golang.org/x/time/rate: messages, recipients and octets
// for each account, by the class that the account belongs to.
//
// The count is kept by account name, so that neither new connections nor parallel sessions evade it, and it can be
// written down and restored ([Limits.Snapshot]), so that a restart does not either. Limits do not look at what is sent.
package limit

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Rate allows Amount in each period Per, and at most Amount at once.
type Rate struct {
	Amount int64 // at least 1
	Per    time.Duration
}

// A Class is what accounts of one class may send.
type Class struct {
	Messages   Rate // transactions
	Recipients Rate // accepted RCPTs
	Bytes      Rate // octets of content
}

const (
	maxAmount = 1 << 50
	maxPer    = 366 * 24 * time.Hour
)

var errRate = errors.New(`must be "N/duration" such as "200/1h" or "5000/1d"`)

// ParseCount reads "N/duration"; the duration is of [time.ParseDuration] or whole days such as "1d".
func ParseCount(s string) (Rate, error) {
	amount, per, err := split(s)
	if err != nil {
		return Rate{}, err
	}
	n, err := strconv.ParseInt(amount, 10, 64)
	if err != nil || n < 1 || n > maxAmount {
		return Rate{}, errRate
	}
	return Rate{n, per}, nil
}

// units of octets, the largest first.
var units = []struct {
	name  string
	value int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}}

// ParseBytes reads "N/duration" where N may have a unit: "500MiB/1h".
func ParseBytes(s string) (Rate, error) {
	wrong := errors.New(`must be "SIZE/duration" such as "500MiB/1h" (B, KiB, MiB, GiB, kB, MB, GB)`)
	amount, per, err := split(s)
	if err != nil {
		return Rate{}, wrong
	}
	factor := int64(1)
	for _, u := range units {
		if digits, ok := strings.CutSuffix(amount, u.name); ok {
			amount, factor = digits, u.value
			break
		}
	}
	n, err := strconv.ParseInt(amount, 10, 64)
	if err != nil || n < 1 || n > maxAmount/factor {
		return Rate{}, wrong
	}
	return Rate{n * factor, per}, nil
}

func split(s string) (amount string, per time.Duration, err error) {
	amount, period, ok := strings.Cut(s, "/")
	if !ok || strings.HasPrefix(amount, "+") {
		return "", 0, errRate
	}
	if days, ok := strings.CutSuffix(period, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		per = time.Duration(n) * 24 * time.Hour
		if err != nil {
			return "", 0, errRate
		}
	} else if per, err = time.ParseDuration(period); err != nil {
		return "", 0, errRate
	}
	if per < time.Second || per > maxPer {
		return "", 0, errors.New("the duration must be from 1s to 366d")
	}
	return amount, per, nil
}

// String is the form that ParseCount and ParseBytes read.
func (r Rate) String() string { return fmt.Sprintf("%d/%s", r.Amount, r.Per) }

// perSecond is the refill.
func (r Rate) perSecond() float64 { return float64(r.Amount) / r.Per.Seconds() }

// period is the words for "in which time": "this hour", "in 10 min".
func (r Rate) period() string {
	switch r.Per {
	case time.Minute:
		return "this minute"
	case time.Hour:
		return "this hour"
	case 24 * time.Hour:
		return "this day"
	}
	return "in " + Words(r.Per)
}

// Words says a duration as people do, with at most two units: "11 min 20 s".
func Words(d time.Duration) string {
	seconds := int64(math.Ceil(d.Seconds()))
	parts := []struct {
		n    int64
		unit string
	}{{seconds / 86400, "d"}, {seconds % 86400 / 3600, "h"}, {seconds % 3600 / 60, "min"}, {seconds % 60, "s"}}
	for i, p := range parts {
		if p.n == 0 {
			continue
		}
		if i+1 < len(parts) && parts[i+1].n != 0 {
			return fmt.Sprintf("%d %s %d %s", p.n, p.unit, parts[i+1].n, parts[i+1].unit)
		}
		return fmt.Sprintf("%d %s", p.n, p.unit)
	}
	return "0 s"
}
