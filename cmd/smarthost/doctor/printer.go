package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// printable leaves out control characters, and the marks of Unicode that turn the direction of a line or hide in it.
func printable(r rune) bool { return unicode.IsPrint(r) }

// patience is how long a check may run in silence when standard error is not a terminal.
const patience = time.Second

// A Printer shows findings to people, or collects them for programs. Its methods may be called at the same time.
type Printer struct {
	Out    io.Writer // findings
	Err    io.Writer // progress; nil = none
	JSON   bool      // one document at the end in place of lines
	Colour bool      // Out is a terminal that may show colours
	Width  int       // columns of the terminal; 0 = do not wrap
	Live   bool      // Err is a terminal: progress is one line that overwrites itself
	Line   int       // columns of that terminal; 0 = not known
	Target string    // what is examined

	mu       sync.Mutex
	start    time.Time
	findings []Finding
	timer    *time.Timer
	shown    bool // a live line stands there
}

// Start begins to count the time.
func (p *Printer) Start() { p.start = time.Now() }

// Report shows a finding.
func (p *Printer) Report(f Finding) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.findings = append(p.findings, f)
	if p.JSON {
		return
	}
	p.clear()
	p.print(f)
}

// Progress tells on Err what is waited for: at once on a terminal, elsewhere when it takes longer than a second.
func (p *Printer) Progress(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.Err == nil:
	case p.Live:
		line := "… " + what
		if p.Line > 0 && utf8.RuneCountInString(line) >= p.Line {
			line = string([]rune(line)[:p.Line-1])
		}
		fmt.Fprintf(p.Err, "\r%s\x1b[K", line)
		p.shown = true
	default:
		p.stop()
		p.timer = time.AfterFunc(patience, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			fmt.Fprintf(p.Err, "… %s\n", what)
		})
	}
}

func (p *Printer) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// clear takes the progress away.
func (p *Printer) clear() {
	if p.shown {
		fmt.Fprint(p.Err, "\r\x1b[K")
		p.shown = false
	}
}

// A Summary counts the findings.
type Summary struct {
	Good     int  `json:"good"`
	Notes    int  `json:"notes"`
	Warnings int  `json:"warnings"`
	Problems int  `json:"problems"`
	Complete bool `json:"complete"` // false: it was stopped before the end
}

// Finish prints the last line, or the whole JSON document. Complete is false if the examination was stopped early.
func (p *Printer) Finish(complete bool) (Summary, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	p.clear()
	took := time.Since(p.start)
	s := Summary{Complete: complete}
	for _, f := range p.findings {
		*[]*int{&s.Good, &s.Notes, &s.Warnings, &s.Problems}[f.Level]++
	}
	if p.JSON {
		enc := json.NewEncoder(p.Out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return s, enc.Encode(struct {
			Target   string    `json:"target"`
			Findings []Finding `json:"findings"`
			Summary  Summary   `json:"summary"`
			TookMS   int64     `json:"took_ms"`
		}{p.Target, append([]Finding{}, p.findings...), s, took.Milliseconds()})
	}
	_, err := fmt.Fprintf(p.Out, "\n%s\n", s.text(took))
	return s, err
}

func (s Summary) text(took time.Duration) string {
	t := fmt.Sprintf("%s, %s, %s, %d good; took %.1f s", count(s.Problems, "problem"), count(s.Warnings, "warning"), count(s.Notes, "note"), s.Good, took.Seconds())
	if !s.Complete {
		t = "stopped before the end: " + t
	}
	return t
}

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// marks and colours of the levels.
var (
	marks   = [...]string{"ok", "note", "warning", "PROBLEM"}
	colours = [...]string{"\x1b[32m", "\x1b[36m", "\x1b[33m", "\x1b[1;31m"}
)

const indent = 9 // columns of a mark and the space behind it

func (p *Printer) print(f Finding) {
	mark := fmt.Sprintf("%-*s", indent-1, marks[f.Level])
	if p.Colour {
		mark = colours[f.Level] + mark + "\x1b[0m"
	}
	what := f.Check + ": " + f.What
	if f.Where != "" {
		what = f.Check + " (" + f.Where + "): " + f.What
	}
	fmt.Fprintf(p.Out, "%s %s\n", mark, p.wrap(what, indent))
	pad := strings.Repeat(" ", indent)
	if f.Why != "" {
		fmt.Fprintf(p.Out, "%swhy: %s\n", pad, p.wrap(f.Why, indent+5))
	}
	if f.Do != "" {
		fmt.Fprintf(p.Out, "%sdo:  %s\n", pad, p.wrap(f.Do, indent+5))
	}
}

// wrap breaks text at spaces so that it fits beside an indent of that many columns.
func (p *Printer) wrap(text string, column int) string {
	if p.Width < column+20 {
		return text
	}
	var b strings.Builder
	at := column
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > p.Width:
			b.WriteString("\n" + strings.Repeat(" ", column))
			at = column
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}
