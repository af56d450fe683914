package dialogue

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-1397b510/smarthost/policy/limit"
)

// What the files take for granted.
const (
	Hostname = "mx.example.org" // of the server
	Password = "correct horse"  // of alice and bob, see [Accounts]
)

// A House is a server with all around it that a dialogue speaks of.
type House struct {
	Dial        func(from string, implicit bool) (net.Conn, error) // from an address, to the door with STARTTLS or the other
	TLS         *tls.Config                                        // a client's, that trusts the server
	Configure   func(Settings) error
	Accounts    *Accounts
	Limits      *limit.Limits
	Spool       func(state string) error // puts the storage into a state, see @spool
	Certificate func(is bool)
	Kept        func() []Message
	Log         *Log
	Registry    *prometheus.Registry

	settings Settings
}

// Settings are those of the server that a dialogue changes, zero for the server's own.
type Settings struct {
	Unauthenticated, Help string
	MaxRecipients         int
	DuplicateWindow       time.Duration
}

// A Message is one that is kept.
type Message struct {
	Recipients []string
	Content    []byte // as it will be forwarded
}

func (h *House) newest() Message {
	kept := h.Kept()
	if len(kept) == 0 {
		return Message{}
	}
	return kept[len(kept)-1]
}

func (h *House) dial(t testing.TB, addr string, implicit bool) net.Conn {
	t.Helper()
	if addr == "" {
		addr = "192.0.2.1"
	}
	conn, err := h.Dial(addr, implicit)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// change changes one setting.
func (h *House) change(change string) (err error) {
	key, value, _ := strings.Cut(change, "=")
	switch key {
	case "unauthenticated":
		h.settings.Unauthenticated = value
	case "help":
		h.settings.Help = value
	case "max_recipients":
		h.settings.MaxRecipients, err = strconv.Atoi(value)
	case "duplicate_window":
		h.settings.DuplicateWindow, err = time.ParseDuration(value)
	default:
		return fmt.Errorf("no setting %q", key)
	}
	if err != nil {
		return err
	}
	return h.Configure(h.settings)
}

func certify(h *Player, state string) error {
	h.Certificate(state != "none")
	return nil
}
