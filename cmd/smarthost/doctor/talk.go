package doctor

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What one conversation may take.
const (
	connectWait   = 10 * time.Second
	greetingWait  = 30 * time.Second
	replyWait     = 20 * time.Second
	handshakeWait = 15 * time.Second
	maxReplyLine  = 4096 // RFC 5321 §4.5.3.1.5 says 512
	maxReplyLines = 100
)

// A reply is what a server answered.
type reply struct {
	code  int
	lines []string // without code, not cleaned
}

// text is the reply as one line that may be shown.
func (r reply) text() string {
	return clean(strconv.Itoa(r.code) + " " + strings.Join(r.lines, " / "))
}

func (r reply) ok() bool      { return r.code/100 == 2 }
func (r reply) later() bool   { return r.code/100 == 4 }
func (r reply) refused() bool { return r.code/100 == 5 }

// A talk is one SMTP connection, from the client's side.
type talk struct {
	conn net.Conn
	in   *bufio.Reader
	stop func() bool
	ext  map[string]string // of the last EHLO: upper-case keyword to its parameters
	mask *strings.Replacer // takes secrets out of what the server says, should it repeat them; nil = there are none yet
}

// dial connects; the connection is closed when ctx ends.
func dial(ctx context.Context, addr netip.AddrPort) (*talk, error) {
	d := net.Dialer{Timeout: connectWait}
	conn, err := d.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	return newTalk(ctx, conn), nil
}

func newTalk(ctx context.Context, conn net.Conn) *talk {
	return &talk{conn: conn, in: bufio.NewReaderSize(conn, maxReplyLine), stop: context.AfterFunc(ctx, func() { conn.Close() })}
}

func (t *talk) close() {
	t.stop()
	t.conn.Close()
}

// quit says goodbye and closes, without waiting long for an answer.
func (t *talk) quit() {
	t.conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(t.conn, "QUIT\r\n"); err == nil {
		t.read(2 * time.Second)
	}
	t.close()
}

// read takes one reply.
func (t *talk) read(wait time.Duration) (reply, error) {
	t.conn.SetDeadline(time.Now().Add(wait))
	var r reply
	for len(r.lines) < maxReplyLines {
		raw, err := t.in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return r, fmt.Errorf("a reply line of more than %d octets", maxReplyLine)
		}
		if err != nil {
			return r, err
		}
		line := strings.TrimRight(string(raw), "\r\n")
		if t.mask != nil {
			line = t.mask.Replace(line)
		}
		code, err := strconv.Atoi(line[:min(3, len(line))])
		if err != nil || len(line) < 3 || code < 200 || code > 599 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
			return r, fmt.Errorf("an answer that is not SMTP: %q", clean(line))
		}
		r.code = code
		r.lines = append(r.lines, line[min(4, len(line)):])
		if len(line) == 3 || line[3] == ' ' {
			return r, nil
		}
	}
	return r, fmt.Errorf("a reply of more than %d lines", maxReplyLines)
}

// cmd sends one line and takes the reply.
func (t *talk) cmd(line string) (reply, error) {
	t.conn.SetDeadline(time.Now().Add(replyWait))
	if _, err := io.WriteString(t.conn, line+"\r\n"); err != nil {
		return reply{}, err
	}
	return t.read(replyWait)
}

// ehlo introduces itself by its own address, as RFC 5321 §4.1.4 has those do that have no name, and keeps the extensions.
func (t *talk) ehlo() (reply, error) {
	r, err := t.cmd("EHLO " + t.literal())
	t.ext = map[string]string{}
	if err == nil && r.ok() {
		for _, line := range r.lines[1:] {
			word, params, _ := strings.Cut(line, " ")
			word, params = strings.ToUpper(word), strings.TrimSpace(params)
			if rest, old := strings.CutPrefix(word, "AUTH="); old { // before RFC 2554
				word, params = "AUTH", rest+" "+params
			}
			t.ext[word] = strings.TrimSpace(t.ext[word] + " " + params)
		}
	}
	return r, err
}

func (t *talk) literal() string {
	addr, err := netip.ParseAddrPort(t.conn.LocalAddr().String())
	switch {
	case err != nil:
		return "localhost"
	case addr.Addr().Unmap().Is4():
		return "[" + addr.Addr().Unmap().String() + "]"
	}
	return "[IPv6:" + addr.Addr().WithZone("").String() + "]"
}

// offers tells whether the last EHLO had that extension.
func (t *talk) offers(word string) bool {
	_, ok := t.ext[word]
	return ok
}

const (
	maxMechanism  = 20 // octets of a name, RFC 4422 §3.1
	maxMechanisms = 20
)

// mechanisms are those that the last EHLO had behind AUTH, upper case, each once: some servers have them also behind "AUTH=".
func (t *talk) mechanisms() []string {
	var all []string
	for word := range strings.FieldsSeq(strings.ToUpper(t.ext["AUTH"])) {
		if len(word) <= maxMechanism && len(all) < maxMechanisms && !slices.Contains(all, word) {
			all = append(all, word)
		}
	}
	return all
}

// handshake starts TLS; from then on the talk goes through it.
func (t *talk) handshake(ctx context.Context, config *tls.Config) (tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeWait)
	defer cancel()
	t.conn.SetDeadline(time.Time{})
	conn := tls.Client(t.conn, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}, err
	}
	t.conn, t.in = conn, bufio.NewReaderSize(conn, maxReplyLine)
	return conn.ConnectionState(), nil
}

// errorText says what a network error means, without addresses that the finding names anyway.
func errorText(err error) string {
	var netErr net.Error
	var alert *net.OpError
	var lookup *net.DNSError
	switch {
	case errors.As(err, &lookup):
		return lookupText(lookup)
	case errors.As(err, &netErr) && netErr.Timeout(), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ENETUNREACH):
		return "no route there from this machine"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "the host cannot be reached"
	case errors.As(err, &alert) && alert.Op == "remote error": // crypto/tls
		return "the server answered with the alert " + strings.TrimPrefix(alert.Err.Error(), "tls: ")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was closed"
	}
	return clean(err.Error())
}

// lookupText says why a name could not be looked up. The library puts the ends of the connection to the name server before
// the cause.
func lookupText(err *net.DNSError) string {
	text := err.Err
	if operation, _, ok := strings.Cut(text, " udp "); ok && (operation == "dial" || operation == "read" || operation == "write") {
		text = text[strings.LastIndex(text, ": ")+1:]
	}
	if err.Server != "" {
		text += " (name server " + err.Server + ")"
	}
	return clean(text)
}
