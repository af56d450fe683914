package dialogue

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Play plays every dialogue file of a folder, each in a synctest bubble, against the house that open opens for it. size is the most octets of a
// message there, 0 for the server's own. The house ends with the test.
func Play(t *testing.T, folder string, open func(t testing.TB, size int64) *House) {
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var size int64
			if directive := sizeDirective.FindSubmatch(script); directive != nil {
				size, _ = strconv.ParseInt(string(directive[1]), 10, 64)
			}
			synctest.Test(t, func(t *testing.T) {
				p := &Player{House: open(t, size), File: file}
				p.play(t, string(script))
			})
		})
	}
}

var sizeDirective = regexp.MustCompile(`(?m)^@size (\d+)$`)

// A Player is a client that says what a dialogue tells it, on one connection at a time.
type Player struct {
	*House
	File string // for messages
	conn net.Conn
	in   *bufio.Reader
	out  chan []byte // to the goroutine that writes

	writing sync.WaitGroup
}

func (d *Player) play(t testing.TB, script string) {
	t.Cleanup(d.Leave)
	for n, line := range strings.Split(script, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if d.conn == nil && (strings.HasPrefix(line, "C:") || strings.HasPrefix(line, "S:") || strings.HasPrefix(line, "@starttls")) {
			d.connect(t, "")
		}
		if err := d.Step(t, line); err != nil {
			t.Fatalf("%s:%d: %s: %v", d.File, n+1, line, err)
		}
	}
}

// Step plays one line.
func (d *Player) Step(t testing.TB, line string) error {
	if text, ok := strings.CutPrefix(line, "C: "); ok {
		return d.send([]byte(text + "\r\n"))
	}
	if line == "C:" {
		return d.send([]byte("\r\n"))
	}
	if pattern, ok := strings.CutPrefix(line, "S: "); ok {
		return d.expect(pattern)
	}
	verb, argument, _ := strings.Cut(line, " ")
	action, ok := actions[verb]
	if !ok {
		return errors.New("no such directive")
	}
	return action(d, t, argument)
}

// actions are the directives.
var actions = map[string]func(d *Player, t testing.TB, argument string) error{
	"@connect": func(d *Player, t testing.TB, addr string) error { d.connect(t, addr); return nil },
	"@tls": func(d *Player, t testing.TB, addr string) error {
		d.Leave()
		d.use(d.dial(t, addr, true))
		return d.handshake()
	},
	"@starttls": func(d *Player, t testing.TB, _ string) error {
		if err := d.send([]byte("STARTTLS\r\n")); err != nil {
			return err
		}
		if err := d.expect("220 .*"); err != nil {
			return err
		}
		return d.handshake()
	},
	"@ehlo": func(d *Player, t testing.TB, name string) error {
		if err := d.send([]byte("EHLO " + name + "\r\n")); err != nil {
			return err
		}
		_, err := d.reply("250")
		return err
	},
	"@login":  func(d *Player, _ testing.TB, who string) error { return d.login(who, "235 2\\.7\\.0 .*") },
	"@device": func(d *Player, _ testing.TB, words string) error { return d.Accounts.change(words) },
	"@limits": func(d *Player, _ testing.TB, words string) error { return d.limit(words) },
	"@refused": func(d *Player, _ testing.TB, argument string) error {
		who, pattern, _ := strings.Cut(argument, ": ")
		return d.login(who, pattern)
	},
	"@raw":    quoted(func(d *Player, octets []byte) error { return d.send(octets) }),
	"@repeat": repeat,
	"@hears": quoted(func(d *Player, octets []byte) error {
		got := make([]byte, len(octets))
		if n, err := io.ReadFull(d.in, got); err != nil || !bytes.Equal(got, octets) {
			return fmt.Errorf("got %q and %v", got[:n], err)
		}
		return nil
	}),
	"@bytewise": quoted(func(d *Player, octets []byte) error {
		for _, b := range octets {
			if err := d.send([]byte{b}); err != nil {
				return err
			}
		}
		return nil
	}),
	"@close": func(d *Player, _ testing.TB, _ string) error {
		d.Leave()
		synctest.Wait()
		return nil
	},
	"@eof": func(d *Player, _ testing.TB, _ string) error {
		rest, err := io.ReadAll(d.in)
		if err != nil || len(rest) > 0 {
			return fmt.Errorf("got %q and %v, want the end of the connection", rest, err)
		}
		return nil
	},
	"@size": func(*Player, testing.TB, string) error { return nil },
	"@gone": func(d *Player, _ testing.TB, _ string) error {
		_, err := io.Copy(io.Discard, d.in)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		return nil
	},
	"@fail":       times(func(d *Player, i int) error { return d.ask("AUTH PLAIN AGFsaWNlAHdyb25n", "(535|454) .*") }),
	"@recipients": times(func(d *Player, i int) error { return d.ask(fmt.Sprintf("RCPT TO:<r%d@dest.example>", i), "250 .*") }),
	"@recipient": quoted(func(d *Player, octets []byte) error {
		got := d.newest().Recipients
		if !slices.Contains(got, string(octets)) {
			return fmt.Errorf("the recipients are %q", got)
		}
		return nil
	}),
	"@loglines": func(d *Player, _ testing.TB, _ string) error {
		for line := range strings.Lines(d.Log.String()) {
			var event map[string]any
			if err := json.Unmarshal([]byte(line), &event); err != nil || event["session"] == nil && event["message"] == nil {
				return fmt.Errorf("%q: %v", line, err)
			}
		}
		return nil
	},
	"@counted": func(d *Player, _ testing.TB, sample string) error {
		synctest.Wait()
		scraped := httptest.NewRecorder()
		promhttp.HandlerFor(d.Registry, promhttp.HandlerOpts{}).ServeHTTP(scraped, httptest.NewRequest("GET", "/metrics", nil))
		if metrics := scraped.Body.String(); !strings.Contains(metrics, "\n"+sample+"\n") {
			return fmt.Errorf("the metrics are\n%s", metrics)
		}
		return nil
	},
	"@keywords": func(d *Player, _ testing.TB, _ string) error { return d.wellFormed("250") },
	"@config":   func(d *Player, _ testing.TB, change string) error { return d.change(change) },
	"@wait": func(d *Player, _ testing.TB, text string) error {
		duration, err := time.ParseDuration(text)
		if err != nil {
			return err
		}
		<-time.After(duration)
		synctest.Wait()
		return nil
	},
	"@auth":        func(d *Player, _ testing.TB, state string) error { return d.Accounts.be(state) },
	"@spool":       func(d *Player, _ testing.TB, state string) error { return d.Spool(state) },
	"@certificate": func(d *Player, _ testing.TB, state string) error { return certify(d, state) },
	"@queued": func(d *Player, _ testing.TB, n string) error {
		synctest.Wait()
		if got := strconv.Itoa(len(d.Kept())); got != n {
			return fmt.Errorf("%s messages are kept", got)
		}
		return nil
	},
	"@kept": quoted(func(d *Player, octets []byte) error {
		if !bytes.Contains(d.newest().Content, octets) {
			return fmt.Errorf("the newest message is %q", d.newest().Content)
		}
		return nil
	}),
	"@lacks": quoted(func(d *Player, octets []byte) error {
		if bytes.Contains(d.newest().Content, octets) {
			return fmt.Errorf("the newest message is %q", d.newest().Content)
		}
		return nil
	}),
	"@ends": quoted(func(d *Player, octets []byte) error {
		if !bytes.HasSuffix(d.newest().Content, octets) {
			return fmt.Errorf("the newest message is %q", d.newest().Content)
		}
		return nil
	}),
	"@log": quoted(func(d *Player, octets []byte) error {
		synctest.Wait()
		if !strings.Contains(d.Log.String(), string(octets)) {
			return fmt.Errorf("the log is\n%s", d.Log.String())
		}
		return nil
	}),
	"@silent": quoted(func(d *Player, octets []byte) error {
		synctest.Wait()
		if strings.Contains(d.Log.String(), string(octets)) {
			return fmt.Errorf("the log is\n%s", d.Log.String())
		}
		return nil
	}),
}

func quoted(action func(d *Player, octets []byte) error) func(*Player, testing.TB, string) error {
	return func(d *Player, _ testing.TB, argument string) error {
		octets, err := strconv.Unquote(argument)
		if err != nil {
			return err
		}
		return action(d, []byte(octets))
	}
}

func repeat(d *Player, _ testing.TB, argument string) error {
	count, text, _ := strings.Cut(argument, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	octets, err := strconv.Unquote(text)
	if err != nil {
		return err
	}
	return d.send([]byte(strings.Repeat(octets, n)))
}

func times(action func(d *Player, i int) error) func(*Player, testing.TB, string) error {
	return func(d *Player, _ testing.TB, argument string) error {
		n, err := strconv.Atoi(argument)
		for i := range n {
			err = errors.Join(err, action(d, i))
		}
		return err
	}
}

// login logs in with the right password, and expects a reply.
func (d *Player) login(who, pattern string) error {
	user, device, _ := strings.Cut(who, " ")
	ir := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + devicePassword(device)))
	return d.ask("AUTH PLAIN "+ir, pattern)
}

func (d *Player) ask(line, pattern string) error {
	if err := d.send([]byte(line + "\r\n")); err != nil {
		return err
	}
	return d.expect(pattern)
}

func (d *Player) connect(t testing.TB, addr string) {
	d.Leave()
	d.use(d.dial(t, addr, false))
}

// use makes conn the one that is spoken on. A goroutine writes, because a pipe has no buffer: replies must be able to come while a group of
// commands is still being sent.
func (d *Player) use(conn net.Conn) {
	d.endWriting()
	d.conn, d.in, d.out = conn, bufio.NewReader(conn), make(chan []byte, 1024)
	out := d.out
	d.writing.Go(func() {
		for octets := range out {
			conn.Write(octets) // if it fails, so will the next read
		}
	})
}

func (d *Player) endWriting() {
	if d.out != nil {
		close(d.out)
		d.out = nil
		synctest.Wait()
	}
}

// Leave closes the connection.
func (d *Player) Leave() {
	if d.conn != nil {
		d.conn.Close()
		d.endWriting()
		d.writing.Wait()
		d.conn = nil
	}
}

func (d *Player) handshake() error {
	conn := tls.Client(d.conn, d.TLS)
	if err := conn.Handshake(); err != nil {
		return err
	}
	d.use(conn)
	return nil
}

func (d *Player) send(octets []byte) error {
	if d.out == nil {
		return errors.New("there is no connection")
	}
	d.out <- octets
	return nil
}

func (d *Player) expect(pattern string) error {
	line, err := d.in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("got %q and %w", line, err)
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok || strings.ContainsAny(text, "\r\n\x00") || len(line) > maxReply {
		return fmt.Errorf("%q is not a reply line", line)
	}
	match, err := regexp.MatchString("^(?:"+pattern+")$", text)
	if err != nil {
		return err
	}
	if !match {
		return fmt.Errorf("got %q", text)
	}
	return nil
}

// reply reads one reply, which must have the code and be well-formed (RFC 5321 §4.2, §4.5.3.1.5).
func (d *Player) reply(code string) (lines []string, err error) {
	for {
		line, err := d.in.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("got %q and %w", line, err)
		}
		if len(line) > maxReply || !replyLine.MatchString(line) || line[:3] != code {
			return nil, fmt.Errorf("%q is not a line of a reply %s", line, code)
		}
		lines = append(lines, line[4:len(line)-2])
		if line[3] == ' ' {
			return lines, nil
		}
	}
}

const maxReply = 512 // octets of a reply line with its CRLF, RFC 5321 §4.5.3.1.5

var replyLine = regexp.MustCompile(`^[2-5][0-9][0-9][ -][\t -~]*\r\n$`)

// wellFormed reads a reply to EHLO: the server's name first, then keywords, none of them twice (RFC 5321 §4.1.1.1).
func (d *Player) wellFormed(code string) error {
	lines, err := d.reply(code)
	if err != nil {
		return err
	}
	if first, _, _ := strings.Cut(lines[0], " "); first != Hostname {
		return fmt.Errorf("the reply begins with %q", lines[0])
	}
	seen := make(map[string]bool)
	for _, line := range lines[1:] {
		keyword, _, _ := strings.Cut(line, " ")
		if seen[keyword] || !keywordForm.MatchString(keyword) {
			return fmt.Errorf("keyword %q twice or malformed", keyword)
		}
		seen[keyword] = true
	}
	return nil
}

var keywordForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*$`)
