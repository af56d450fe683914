package deliver

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
)

// wire returns what is sent for a content, end included.
func wire(t testing.TB, r io.Reader, block int) string {
	t.Helper()
	var out bytes.Buffer
	s := stuffer{buf: make([]byte, 0, block), send: func(p []byte) error { out.Write(p); return nil }}
	if _, err := s.copy(r, make([]byte, block)); err != nil {
		t.Fatal(err)
	}
	if err := s.finish(func() {}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// ends are the ways in which lenient receivers end a message.
var ends = []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r\r\n.\r\r\n", "\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\n.\r\n", "\x00.\r\n"}

// checklist 77; attacks 1 to 9: a receiver that takes CR or LF or CRLF for a line end, and skips NUL, finds one message.
func TestNothingIsSmuggled(t *testing.T) {
	lineEnd := regexp.MustCompile("\r\n|\r|\n")
	for _, end := range ends {
		for _, block := range []int{16, 17, 64, blockSize} {
			text := "Subject: x\r\n\r\nbody" + end + "MAIL FROM:<evil@x>\r\nRCPT TO:<v@x>\r\nDATA\r\nevil" + end
			got := wire(t, iotest.OneByteReader(strings.NewReader(text)), block)
			if strings.Contains(strings.ReplaceAll(got, "\r\n", ""), "\r") || strings.Contains(strings.ReplaceAll(got, "\r\n", ""), "\n") {
				t.Errorf("%q: a CR or LF stands alone in %q", end, got)
			}
			dots := 0
			for _, line := range lineEnd.Split(strings.ReplaceAll(got, "\x00", ""), -1) {
				if line == "." {
					dots++
				}
			}
			if dots != 1 || !strings.HasSuffix(got, "\r\n.\r\n") {
				t.Errorf("%q: %d ends in %q", end, dots, got)
			}
		}
	}
}

func TestStuff(t *testing.T) {
	for in, want := range map[string]string{
		"":                "." + "\r\n",
		".":               "..\r\n.\r\n",
		"a":               "a\r\n.\r\n",
		"a\r":             "a\r\n.\r\n",
		"a\n":             "a\r\n.\r\n",
		"..\r\n.a.\r\n":   "...\r\n..a.\r\n.\r\n",
		"\r\n\r\n":        "\r\n\r\n.\r\n",
		"\x00\x00.\r\nb.": "..\r\nb.\r\n.\r\n",
	} {
		if got := wire(t, strings.NewReader(in), blockSize); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// unstuff is the receiver's side, as slow and plain as can be.
func unstuff(s string) (string, error) {
	var out strings.Builder
	for {
		line, rest, ok := strings.Cut(s, "\r\n")
		switch {
		case !ok:
			return "", fmt.Errorf("no end in %q", s)
		case line == "." && rest != "":
			return "", fmt.Errorf("%q after the end", rest)
		case line == ".":
			return out.String(), nil
		}
		out.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
		s = rest
	}
}

func FuzzStuff(f *testing.F) {
	for _, end := range ends {
		f.Add("a"+end+"b"+end, 16)
	}
	f.Fuzz(func(t *testing.T, text string, block int) {
		block = 8 + (block&0x7fffffff)%64
		got, err := unstuff(wire(t, strings.NewReader(text), block))
		if err != nil {
			t.Fatal(err)
		}
		// A NUL between CR and LF leaves two ends; the reference does the repair in the same order.
		want := regexp.MustCompile("\r\n|\r|\n").ReplaceAllString(splitCRNUL(text), "\r\n")
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	})
}

// splitCRNUL leaves NUL out, but lets a CR before it end its line.
func splitCRNUL(s string) string {
	return strings.ReplaceAll(regexp.MustCompile("\r\x00").ReplaceAllString(s, "\r\n\x00"), "\x00", "")
}
