package userfile

import (
	"net/netip"
	"testing"
	"time"
)

func TestParseExpiry(t *testing.T) {
	for _, test := range []struct {
		text, shortest string // "": a fault
		want           time.Time
	}{
		{"2027-01-31", "2027-01-31", time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)},
		{"2027-02-01T00:00:00Z", "2027-01-31", time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)},
		{"2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00Z", time.Date(2027, 1, 31, 10, 0, 0, 0, time.UTC)},
		{"2027-01-31T12:00:00.5Z", "2027-01-31T12:00:00.5Z", time.Date(2027, 1, 31, 12, 0, 0, 5e8, time.UTC)},
		{"2027-02-29", "", time.Time{}},
		{"9999-12-31", "", time.Time{}},
		{"0001-01-01", "", time.Time{}},
		{"31.1.2027", "", time.Time{}},
		{"", "", time.Time{}},
	} {
		got, err := ParseExpiry(test.text)
		if (err == nil) != (test.shortest != "") || !got.Equal(test.want) {
			t.Errorf("%q: got %v, %v; want %v", test.text, got, err, test.want)
		}
		if err == nil && FormatExpiry(got) != test.shortest {
			t.Errorf("%q is written as %q, want %q", test.text, FormatExpiry(got), test.shortest)
		}
	}
}

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.0/24": "192.0.2.0/24", "192.0.2.77/24": "192.0.2.0/24", "192.0.2.1": "192.0.2.1", "192.0.2.1/32": "192.0.2.1",
		"2001:DB8::/32": "2001:db8::/32", "2001:db8::1": "2001:db8::1", "0.0.0.0/0": "0.0.0.0/0",
		"": "", "192.0.2.0/33": "", "192.0.2": "", "laptop": "", "fe80::1%eth0": "", "::ffff:192.0.2.1": "", "::ffff:192.0.2.0/120": "",
	} {
		p, err := ParseNetwork(text)
		if (err == nil) != (want != "") || err == nil && (FormatNetwork(p) != want || p != netip.Prefix.Masked(p)) {
			t.Errorf("%q: got %v, %v; want %q", text, p, err, want)
		}
	}
}
