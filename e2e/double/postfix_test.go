//go:build e2e

package double

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// A dialogue is what a client says. A step is a line, or "@tls", a handshake. Each is answered by the first digit of the reply's code, "closed", or
// for a handshake "ok" or "failed".
type dialogue struct {
	name   string
	in     bool // after STARTTLS, EHLO and a login
	steps  []string
	theirs string // what Postfix answers, where the double answers something else
	ours   string // and what that is
	why    string
}

func plain(password string) string {
	return "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+lab.PostfixUser+"\x00"+password))
}

const (
	mailFrom = "MAIL FROM:<smarthost@relay.test>"
	rcptTo   = "RCPT TO:<bob@dest.test>"
)

var secure = []string{"EHLO client.test", "STARTTLS", "@tls", "EHLO client.test"}

func afterTLS(steps ...string) []string { return append(append([]string{}, secure...), steps...) }

var dialogues = []dialogue{
	{name: "good manners", steps: []string{"EHLO client.test", "NOOP", "QUIT"}},
	{name: "RSET before TLS", steps: []string{"EHLO client.test", "RSET"},
		theirs: "2 5", ours: "2 2", why: "RFC 3207 §4 leaves RSET to the server, and it changes nothing"},
	{name: "HELO", steps: []string{"HELO client.test", "QUIT"}},
	{name: "MAIL before EHLO", steps: []string{mailFrom}},
	{name: "MAIL before TLS", steps: []string{"EHLO client.test", mailFrom}},
	{name: "AUTH before TLS", steps: []string{"EHLO client.test", plain(lab.PostfixPassword)}},
	{name: "unknown command before TLS", steps: []string{"EHLO client.test", "HOWDY"}},
	{name: "STARTTLS with an argument", steps: []string{"EHLO client.test", "STARTTLS now"}},
	{name: "STARTTLS twice", steps: afterTLS("STARTTLS")},
	{name: "STARTTLS with octets behind it", steps: []string{"EHLO client.test", "STARTTLS\r\nNOOP", "@tls", "EHLO client.test"},
		theirs: "2 2 ok 2", ours: "2 5 failed closed", why: "both ignore the octets; the double says that something is wrong, and a client's author should hear it"},
	{name: "no EHLO after STARTTLS", steps: []string{"EHLO client.test", "STARTTLS", "@tls", plain(lab.PostfixPassword)},
		theirs: "2 2 ok 2", ours: "2 2 ok 5", why: "RFC 3207 §4.2 forgets the EHLO before TLS, and Postfix is lenient"},
	{name: "MAIL before AUTH", steps: afterTLS(mailFrom, rcptTo),
		theirs: "2 2 ok 2 2 5", ours: "2 2 ok 2 5 5", why: "Postfix puts its refusal off until RCPT (smtpd_delay_reject); RFC 4954 §6 has it at MAIL"},
	{name: "wrong password", steps: afterTLS(plain("wrong"), "NOOP", plain(lab.PostfixPassword))},
	{name: "unknown mechanism", steps: afterTLS("AUTH GSSAPI")},
	{name: "AUTH given up", steps: afterTLS("AUTH PLAIN", "*", "NOOP")},
	{name: "AUTH that is no base64", steps: afterTLS("AUTH PLAIN !!!")},
	{name: "AUTH twice", in: true, steps: []string{plain(lab.PostfixPassword)}},
	{name: "AUTH in a transaction", steps: afterTLS("RSET", plain(lab.PostfixPassword), mailFrom, plain(lab.PostfixPassword))},
	{name: "a message", in: true, steps: []string{mailFrom, rcptTo, "DATA", "Subject: x\r\n\r\ny\r\n.", "QUIT"}},
	{name: "two messages", in: true, steps: []string{mailFrom, rcptTo, "DATA", "Subject: 1\r\n\r\ny\r\n.", mailFrom, rcptTo, "DATA", "Subject: 2\r\n\r\ny\r\n."}},
	{name: "MAIL without FROM", in: true, steps: []string{"MAIL smarthost@relay.test"}},
	{name: "MAIL without an end", in: true, steps: []string{"MAIL FROM:<smarthost@relay.test"}},
	{name: "MAIL twice", in: true, steps: []string{mailFrom, mailFrom}},
	{name: "RCPT before MAIL", in: true, steps: []string{rcptTo}},
	{name: "RCPT to nobody", in: true, steps: []string{mailFrom, "RCPT TO:<>"}},
	{name: "DATA before RCPT", in: true, steps: []string{mailFrom, "DATA"}},
	{name: "too large", in: true, steps: []string{mailFrom + " SIZE=999999999"}},
	{name: "a size that is no number", in: true, steps: []string{mailFrom + " SIZE=big"}},
	{name: "unknown parameter", in: true, steps: []string{mailFrom + " HOWDY=1"}},
	{name: "unknown command", in: true, steps: []string{"HOWDY", "NOOP"}},
	{name: "RSET forgets", in: true, steps: []string{mailFrom, rcptTo, "RSET", "DATA"}},
	{name: "VRFY", in: true, steps: []string{"VRFY bob@dest.test"}},
	{name: "a long line", in: true, steps: []string{"NOOP " + strings.Repeat("x", 5000)},
		theirs: "2 2 ok 2 2 2", ours: "2 2 ok 2 2 5", why: "RFC 5321 §4.5.3.1.4 lets a command have 512 octets, and Postfix cuts the rest off"},
}

// answers leads a server through a dialogue.
func answers(t *testing.T, address string, config *tls.Config, g dialogue) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	lab.Check(t, err)
	d := &lab.Dialogue{Conn: conn, R: bufio.NewReader(conn)}
	defer func() { d.Close() }()
	conn.SetDeadline(time.Now().Add(time.Minute))
	_, err = d.Reply("220")
	lab.Check(t, err)
	steps := g.steps
	if g.in {
		steps = append(afterTLS(plain(lab.PostfixPassword)), steps...)
	}
	var all []string
	for _, step := range steps {
		all = append(all, answer(d, config, step))
	}
	return strings.Join(all, " ")
}

func answer(d *lab.Dialogue, config *tls.Config, step string) string {
	if step == "@tls" {
		c := tls.Client(d.Conn, config)
		d.Conn, d.R = c, bufio.NewReader(c)
		if c.Handshake() != nil {
			return "failed"
		}
		return "ok"
	}
	reply, err := d.Say(step, "")
	if err != nil {
		return "closed"
	}
	return reply[:1]
}

// TestPostfix leads Debian's Postfix and the double through the same dialogues. Where a step is answered otherwise, the table says why.
func TestPostfix(t *testing.T) {
	ca := lab.NewAuthority(t)
	lab.StartDNS(t, "127.0.0.1", lab.PostfixNames...)
	lab.StartPostfix(t, ca)
	user := smarthosttest.WithUser(smarthosttest.User{Name: lab.PostfixUser, Password: lab.PostfixPassword, Senders: []string{"*"}})
	for _, g := range dialogues {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			srv := smarthosttest.NewServer(t, user) // one that nobody's handshake has failed at, or it would say 451 for 530
			theirs := answers(t, "127.0.0.1:587", &tls.Config{RootCAs: ca.Pool, ServerName: "relay.test"}, g)
			ours := answers(t, srv.Addr, srv.ClientTLS(), g)
			switch {
			case g.why == "" && ours != theirs:
				t.Errorf("Postfix answers %s, and the double %s", theirs, ours)
			case g.why != "" && (ours != g.ours || theirs != g.theirs):
				t.Errorf("Postfix answers %s, and the double %s; want %s and %s (%s)", theirs, ours, g.theirs, g.ours, g.why)
			}
		})
	}
}
