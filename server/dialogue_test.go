package server

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

// TestDialogues plays the files in testdata. Each begins with a comment that names the rule and the items of the checklist that it shows.
//
//	C: text            the client sends a line
//	S: pattern         the next line must match the regular expression from end to end
//	@connect [addr]    a new connection to the door with STARTTLS, from an address (192.0.2.1 if none is given)
//	@tls [addr]        the same at the door with implicit TLS, handshake included
//	@starttls          STARTTLS, its 220 and the handshake
//	@ehlo name         EHLO and its whole reply, which must be 250
//	@login user [dev]  AUTH PLAIN with the right password, of the account or of one of its devices
//	@refused user [dev]: pattern   the same, and the reply must match
//	@raw "octets"      sends Go-quoted octets as they are
//	@repeat N "octets" sends them N times
//	@bytewise "octets" sends them one at a time
//	@close             the client goes away
//	@eof               the server must have ended the connection, in TLS with close_notify
//	@keywords          the reply to EHLO must be well-formed
//	@config key=value  changes the settings
//	@wait duration     lets time pass
//	@auth down|up      the accounts cannot be reached, or can
//	@device user name  the user has a device of that name, see accounts.change for what may follow
//	@limits CLASS=N/D  so many messages for each account of the class
//	@spool full|broken|failing|ok   storage: no space, Create fails, Commit fails, or well
//	@certificate none|ok
//	@queued N          so many messages are kept
//	@kept "octets"     stand in the newest message
//	@lacks "octets"    do not
//	@ends "octets"     end it
//	@recipient "addr"  is a recipient of the newest message
//	@recipients N      sends so many RCPTs and expects 250 to each
//	@fail N            sends so many AUTHs with a wrong password and expects a refusal of each
//	@size N            the server takes messages of so many octets; holds for the whole dialogue
//	@gone              the server must have ended the connection in whatever way
//	@log "octets"      stand in the log
//	@counted sample    stands in the metrics
//	@loglines          each line of the log is one JSON object
//	@silent "octets"   do not
func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
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
			synctest.Test(t, func(t *testing.T) {
				d := &dialogue{file: file}
				d.house = open(t, func(s *Server) {
					if size := sizeDirective.FindSubmatch(script); size != nil {
						s.MaxMessageSize, _ = strconv.ParseInt(string(size[1]), 10, 64)
					}
				})
				d.play(t, string(script))
			})
		})
	}
}

var sizeDirective = regexp.MustCompile(`(?m)^@size (\d+)$`)

type dialogue struct {
	*house
	file string
	conn net.Conn
	in   *bufio.Reader
	out  chan []byte // to the goroutine that writes

	writing sync.WaitGroup
}

func (d *dialogue) play(t testing.TB, script string) {
	t.Cleanup(d.leave)
	for n, line := range strings.Split(script, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if d.conn == nil && (strings.HasPrefix(line, "C:") || strings.HasPrefix(line, "S:") || strings.HasPrefix(line, "@starttls")) {
			d.connect(t, "")
		}
		if err := d.step(t, line); err != nil {
			t.Fatalf("%s:%d: %s: %v", d.file, n+1, line, err)
		}
	}
}

func (d *dialogue) step(t testing.TB, line string) error {
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
var actions = map[string]func(d *dialogue, t testing.TB, argument string) error{
	"@connect": func(d *dialogue, t testing.TB, addr string) error { d.connect(t, addr); return nil },
	"@tls": func(d *dialogue, t testing.TB, addr string) error {
		d.leave()
		d.use(d.dial(t, addr, true))
		return d.handshake()
	},
	"@starttls": func(d *dialogue, t testing.TB, _ string) error {
		if err := d.send([]byte("STARTTLS\r\n")); err != nil {
			return err
		}
		if err := d.expect("220 .*"); err != nil {
			return err
		}
		return d.handshake()
	},
	"@ehlo": func(d *dialogue, t testing.TB, name string) error {
		if err := d.send([]byte("EHLO " + name + "\r\n")); err != nil {
			return err
		}
		_, err := d.reply("250")
		return err
	},
	"@login":  func(d *dialogue, _ testing.TB, who string) error { return d.login(who, "235 2\\.7\\.0 .*") },
	"@device": func(d *dialogue, _ testing.TB, words string) error { return d.accounts.change(words) },
	"@limits": func(d *dialogue, _ testing.TB, words string) error { return d.limit(words) },
	"@refused": func(d *dialogue, _ testing.TB, argument string) error {
		who, pattern, _ := strings.Cut(argument, ": ")
		return d.login(who, pattern)
	},
	"@raw":    quoted(func(d *dialogue, octets []byte) error { return d.send(octets) }),
	"@repeat": repeat,
	"@bytewise": quoted(func(d *dialogue, octets []byte) error {
		for _, b := range octets {
			if err := d.send([]byte{b}); err != nil {
				return err
			}
		}
		return nil
	}),
	"@close": func(d *dialogue, _ testing.TB, _ string) error {
		d.leave()
		synctest.Wait()
		return nil
	},
	"@eof": func(d *dialogue, _ testing.TB, _ string) error {
		rest, err := io.ReadAll(d.in)
		if err != nil || len(rest) > 0 {
			return fmt.Errorf("got %q and %v, want the end of the connection", rest, err)
		}
		return nil
	},
	"@size": func(*dialogue, testing.TB, string) error { return nil },
	"@gone": func(d *dialogue, _ testing.TB, _ string) error {
		_, err := io.Copy(io.Discard, d.in)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		return nil
	},
	"@fail":       times(func(d *dialogue, i int) error { return d.ask("AUTH PLAIN AGFsaWNlAHdyb25n", "(535|454) .*") }),
	"@recipients": times(func(d *dialogue, i int) error { return d.ask(fmt.Sprintf("RCPT TO:<r%d@dest.example>", i), "250 .*") }),
	"@recipient": quoted(func(d *dialogue, octets []byte) error {
		var got []string
		for _, r := range d.store.messages[len(d.store.messages)-1].envelope.Recipients {
			got = append(got, r.Address)
		}
		if !slices.Contains(got, string(octets)) {
			return fmt.Errorf("the recipients are %q", got)
		}
		return nil
	}),
	"@loglines": func(d *dialogue, _ testing.TB, _ string) error {
		for line := range strings.Lines(d.log.String()) {
			var event map[string]any
			if err := json.Unmarshal([]byte(line), &event); err != nil || event["session"] == nil && event["message"] == nil {
				return fmt.Errorf("%q: %v", line, err)
			}
		}
		return nil
	},
	"@counted": func(d *dialogue, _ testing.TB, sample string) error {
		synctest.Wait()
		scraped := httptest.NewRecorder()
		promhttp.HandlerFor(d.registry, promhttp.HandlerOpts{}).ServeHTTP(scraped, httptest.NewRequest("GET", "/metrics", nil))
		if metrics := scraped.Body.String(); !strings.Contains(metrics, "\n"+sample+"\n") {
			return fmt.Errorf("the metrics are\n%s", metrics)
		}
		return nil
	},
	"@keywords": func(d *dialogue, _ testing.TB, _ string) error { return d.wellFormed("250") },
	"@config":   func(d *dialogue, _ testing.TB, change string) error { return d.configure(change) },
	"@wait": func(d *dialogue, _ testing.TB, text string) error {
		duration, err := time.ParseDuration(text)
		if err != nil {
			return err
		}
		<-time.After(duration)
		synctest.Wait()
		return nil
	},
	"@auth":        func(d *dialogue, _ testing.TB, state string) error { return d.accounts.be(state) },
	"@spool":       func(d *dialogue, _ testing.TB, state string) error { return d.store.be(state) },
	"@certificate": func(d *dialogue, _ testing.TB, state string) error { return d.certificate.be(state) },
	"@queued": func(d *dialogue, _ testing.TB, n string) error {
		synctest.Wait()
		if got := strconv.Itoa(d.store.len()); got != n {
			return fmt.Errorf("%s messages are kept", got)
		}
		return nil
	},
	"@kept": quoted(func(d *dialogue, octets []byte) error {
		if !bytes.Contains(d.store.newest(), octets) {
			return fmt.Errorf("the newest message is %q", d.store.newest())
		}
		return nil
	}),
	"@lacks": quoted(func(d *dialogue, octets []byte) error {
		if bytes.Contains(d.store.newest(), octets) {
			return fmt.Errorf("the newest message is %q", d.store.newest())
		}
		return nil
	}),
	"@ends": quoted(func(d *dialogue, octets []byte) error {
		if !bytes.HasSuffix(d.store.newest(), octets) {
			return fmt.Errorf("the newest message is %q", d.store.newest())
		}
		return nil
	}),
	"@log": quoted(func(d *dialogue, octets []byte) error {
		synctest.Wait()
		if !strings.Contains(d.log.String(), string(octets)) {
			return fmt.Errorf("the log is\n%s", d.log.String())
		}
		return nil
	}),
	"@silent": quoted(func(d *dialogue, octets []byte) error {
		synctest.Wait()
		if strings.Contains(d.log.String(), string(octets)) {
			return fmt.Errorf("the log is\n%s", d.log.String())
		}
		return nil
	}),
}

func quoted(action func(d *dialogue, octets []byte) error) func(*dialogue, testing.TB, string) error {
	return func(d *dialogue, _ testing.TB, argument string) error {
		octets, err := strconv.Unquote(argument)
		if err != nil {
			return err
		}
		return action(d, []byte(octets))
	}
}

func repeat(d *dialogue, _ testing.TB, argument string) error {
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

func times(action func(d *dialogue, i int) error) func(*dialogue, testing.TB, string) error {
	return func(d *dialogue, _ testing.TB, argument string) error {
		n, err := strconv.Atoi(argument)
		for i := range n {
			err = errors.Join(err, action(d, i))
		}
		return err
	}
}

// login logs in with the right password, and expects a reply.
func (d *dialogue) login(who, pattern string) error {
	user, device, _ := strings.Cut(who, " ")
	ir := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + devicePassword(device)))
	return d.ask("AUTH PLAIN "+ir, pattern)
}

func (d *dialogue) ask(line, pattern string) error {
	if err := d.send([]byte(line + "\r\n")); err != nil {
		return err
	}
	return d.expect(pattern)
}

func (d *dialogue) connect(t testing.TB, addr string) {
	d.leave()
	d.use(d.dial(t, addr, false))
}

// use makes conn the one that is spoken on. A goroutine writes, because a pipe has no buffer: replies must be able to come while a group of
// commands is still being sent.
func (d *dialogue) use(conn net.Conn) {
	d.endWriting()
	d.conn, d.in, d.out = conn, bufio.NewReader(conn), make(chan []byte, 1024)
	out := d.out
	d.writing.Go(func() {
		for octets := range out {
			conn.Write(octets) // if it fails, so will the next read
		}
	})
}

func (d *dialogue) endWriting() {
	if d.out != nil {
		close(d.out)
		d.out = nil
		synctest.Wait()
	}
}

// leave closes the connection.
func (d *dialogue) leave() {
	if d.conn != nil {
		d.conn.Close()
		d.endWriting()
		d.writing.Wait()
		d.conn = nil
	}
}

func (d *dialogue) handshake() error {
	conn := tls.Client(d.conn, clientTLS())
	if err := conn.Handshake(); err != nil {
		return err
	}
	d.use(conn)
	return nil
}

func (d *dialogue) send(octets []byte) error {
	if d.out == nil {
		return errors.New("there is no connection")
	}
	d.out <- octets
	return nil
}

func (d *dialogue) expect(pattern string) error {
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
func (d *dialogue) reply(code string) (lines []string, err error) {
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

var replyLine = regexp.MustCompile(`^[2-5][0-9][0-9][ -][\t -~]*\r\n$`)

// wellFormed reads a reply to EHLO: the server's name first, then keywords, none of them twice (RFC 5321 §4.1.1.1).
func (d *dialogue) wellFormed(code string) error {
	lines, err := d.reply(code)
	if err != nil {
		return err
	}
	if first, _, _ := strings.Cut(lines[0], " "); first != hostname {
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
