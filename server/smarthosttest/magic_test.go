package smarthosttest

import (
	"errors"
	"io"
	"net/textproto"
	"testing"
	"testing/synctest"
	"time"
)

// A recipient's name decides what becomes of the mail, and each address is counted for itself.
func TestMagicRecipients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, InMemory(), WithMagic())
		try := func(to string) error { return send(t, s, "app", "app@example.com", []string{to}, letter) }
		code := func(err error) int {
			reply, _ := errors.AsType[*textproto.Error](err)
			if reply == nil {
				return 0
			}
			return reply.Code
		}
		for _, refused := range []struct {
			to   string
			code int
		}{
			{"reject-550@example.com", 550}, {"REJECT-421@example.com", 421}, {"reject-554+anna@example.com", 554},
			{"defer-451-2@example.com", 451}, {"defer-451-2@example.com", 451}, {"defer-450-1+b@example.com", 450},
		} {
			if err := try(refused.to); code(err) != refused.code {
				t.Errorf("%s: %v", refused.to, err)
			}
		}
		for _, to := range []string{"defer-451-2@example.com", "defer-450-1+b@example.com", "reject@example.com", "reject-250@example.com", "defer-550-1@example.com", "slow-soon@example.com", "drop-bombs@example.com"} {
			if err := try(to); err != nil {
				t.Errorf("%s: %v", to, err)
			}
		}
		began := time.Now()
		if err := try("slow-5s@example.com"); err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("slow: %v after %s", err, time.Since(began))
		}
		for _, to := range []string{"drop-rcpt@example.com", "drop-data@example.com", "drop-content@example.com"} {
			if err := try(to); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: %v", to, err)
			}
		}
	})
}

// Nobody gets it who has not asked for it.
func TestMagicIsOffByDefault(t *testing.T) {
	t.Parallel()
	s := NewServer(t, InMemory())
	if err := send(t, s, "app", "app@example.com", []string{"reject-550@example.com"}, letter); err != nil {
		t.Error(err)
	}
}
