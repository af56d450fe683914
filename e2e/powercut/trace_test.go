//go:build e2e

package powercut

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// calls are what is recorded: whatever changes a file or a name, syncs it, or could do either unseen, and what it takes to know when a
// client was answered.
const calls = "openat,open,openat2,creat,write,writev,pwrite64,pwritev,pwritev2,truncate,ftruncate,fallocate," +
	"rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,mknod,mknodat," +
	"fsync,fdatasync,sync_file_range,syncfs,sync,msync,mmap,sendfile,splice,copy_file_range,io_uring_setup,bind,accept4"

// tracer is what a program is started under to have its calls recorded in a file, whole. The program keeps the process id of the command.
func tracer(file string) []string {
	return []string{"strace", "-D", "-f", "--seccomp-bpf", "-y", "-ttt", "-s", strconv.Itoa(1 << 20), "-e", "signal=none", "-e", "trace=" + calls, "-o", file}
}

// A call is a system call. What it does it does between two lines of the record.
type call struct {
	name       string
	args       []string // as they are written in the record
	result     string   // "" if it did not return
	begin, end int      // the lines; end is never if it did not return
}

const never = math.MaxInt

// ok tells that it did what it was asked for.
func (c *call) ok() bool { return c.result != "" && c.result[0] != '-' && c.result[0] != '?' }

// A trace is what was recorded of one run or several, one after the other.
type trace struct {
	calls []*call
	times []time.Time // of the lines
}

// read appends a record.
func (t *trace) read(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begun := map[string]*unfinished{} // by thread
	for line := range bytes.Lines(text) {
		if err := t.line(begun, string(bytes.TrimSuffix(line, []byte("\n")))); err != nil {
			return fmt.Errorf("%s, line %d: %w: %.200q", file, len(t.times), err, line)
		}
	}
	for _, u := range begun {
		u.args = []string{u.text}
	}
	return nil
}

// An unfinished call is one that other threads' calls stand between the beginning and the end of.
type unfinished struct {
	*call
	text string
}

func (t *trace) line(begun map[string]*unfinished, line string) error {
	thread, line, _ := strings.Cut(line, " ")
	stamp, line, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
	micros, err := strconv.ParseInt(strings.Replace(stamp, ".", "", 1), 10, 64)
	if err != nil {
		return err
	}
	at := len(t.times)
	t.times = append(t.times, time.UnixMicro(micros))
	if strings.HasPrefix(line, "+++") {
		return nil // it ends
	}
	if _, tail, resumed := strings.Cut(line, " resumed>"); resumed && strings.HasPrefix(line, "<... ") {
		u := begun[thread]
		if u == nil {
			return fmt.Errorf("goes on with what was not begun")
		}
		delete(begun, thread)
		return u.finish(u.text+tail, at)
	}
	name, text, found := strings.Cut(line, "(")
	if !found {
		return fmt.Errorf("is no call")
	}
	c := &call{name: name, begin: at, end: never}
	t.calls = append(t.calls, c)
	if before, cut := strings.CutSuffix(text, " <unfinished ...>"); cut {
		begun[thread] = &unfinished{c, before}
		return nil
	}
	return c.finish(text, at)
}

// finish takes what stands behind the parenthesis that opens the arguments.
func (c *call) finish(text string, end int) error {
	rest := text
	for {
		n := argument(rest)
		if n == len(rest) {
			return fmt.Errorf("has no end")
		}
		c.args = append(c.args, strings.TrimSpace(rest[:n]))
		sep := rest[n]
		if rest = rest[n+1:]; sep == ')' {
			break
		}
	}
	_, result, found := strings.Cut(rest, "= ")
	if !found {
		return fmt.Errorf("has no result")
	}
	if c.result = result; result != "?" {
		c.end = end
	}
	return nil
}

// argument is the length of the first argument in text: up to a comma, or a closing parenthesis, that is not inside something.
func argument(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{', '[', '(':
			depth++
		case '<': // a descriptor's file, in which nothing but the end is special
			if n := strings.IndexByte(text[i:], '>'); n > 0 {
				i += n
				if i+1 < len(text) && text[i-1] == '-' { // an arrow between two addresses
					if n := strings.IndexByte(text[i+1:], '>'); n > 0 {
						i += n + 1
					}
				}
			}
		case '}', ']':
			depth--
		case ')':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(text)
}

// file is what a descriptor stands for: the path of a file, or something like socket:[1].
func (c *call) file(i int) string { return inAngles(c.args[i]) }

func inAngles(descriptor string) string {
	_, after, _ := strings.Cut(descriptor, "<")
	i := strings.LastIndexByte(after, '>')
	if i < 0 {
		return ""
	}
	return after[:i]
}

// written is the content that a write has written, which may be less than was given.
func (c *call) written() ([]byte, error) {
	n, err := strconv.Atoi(c.result)
	if err != nil {
		return nil, err
	}
	content, err := octets(c.args[1])
	if err != nil || n > len(content) {
		return nil, fmt.Errorf("%d octets written, and %d recorded: %w", n, len(content), err)
	}
	return content[:n:n], nil
}

// octets is a string of the record as it was in memory.
func octets(quoted string) ([]byte, error) {
	text, found := strings.CutPrefix(quoted, `"`)
	text, ended := strings.CutSuffix(text, `"`)
	if !found || !ended {
		return nil, fmt.Errorf("%.100s is not a whole string", quoted)
	}
	all := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			all = append(all, text[i])
			continue
		}
		if i++; i == len(text) {
			return nil, fmt.Errorf("%.100s ends in an escape", quoted)
		}
		if at := strings.IndexByte(`ntvfr\"`, text[i]); at >= 0 {
			all = append(all, "\n\t\v\f\r\\\""[at])
			continue
		}
		n, digits := 0, 0
		for ; digits < 3 && i+digits < len(text) && text[i+digits] >= '0' && text[i+digits] <= '7'; digits++ {
			n = n*8 + int(text[i+digits]-'0')
		}
		if digits == 0 {
			return nil, fmt.Errorf("%.100s has the unknown escape \\%c", quoted, text[i])
		}
		all, i = append(all, byte(n)), i+digits-1
	}
	return all, nil
}
