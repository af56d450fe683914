package deliver

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A try goes as far as the login and not a step further, and tells what is wrong.
func TestTry(t *testing.T) {
	auth := []string{"AUTH PLAIN"}
	good := &peer{tls: goodTLS, ehlo: []string{"STARTTLS"}, inTLS: auth}
	bubble(t, good, func(t *testing.T, d *Deliverer) {
		if err := d.Try(t.Context(), relay); err != nil {
			t.Error(err)
		}
	})
	for i, line := range good.commands {
		good.commands[i], _, _ = strings.Cut(line, " ")
	}
	if diff := cmp.Diff([]string{"EHLO", "STARTTLS", "EHLO", "AUTH", "QUIT"}, good.commands); diff != "" {
		t.Error(diff)
	}
	for text, p := range map[string]*peer{
		"the certificate is for another name": {tls: wrongTLS, ehlo: []string{"STARTTLS"}, inTLS: auth},
		"our login was refused":               {tls: goodTLS, ehlo: []string{"STARTTLS"}, inTLS: auth, answer: map[string]string{"AUTH": "535 5.7.8 wrong\r\n"}},
	} {
		bubble(t, p, func(t *testing.T, d *Deliverer) { deferred(t, nil, d.Try(t.Context(), relay), text) })
	}
	bubble(t, &peer{}, func(t *testing.T, d *Deliverer) {
		d.Hostname = ""
		if err := d.Try(t.Context(), mx); err != errHostname {
			t.Error(err)
		}
	})
}
