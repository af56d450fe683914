package message

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"

	"github.com/emersion/go-smtp"
)

// MaxHeader is how many octets a header may have; what Postfix takes by default is 100 KiB.
const MaxHeader = 256 << 10

var errHeaderTooLarge = &smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 3, 4},
	Message: "the message's header is larger than 256 KiB"}

// A Scanner passes content through and looks at it. Read is used by one goroutine.
type Scanner struct {
	r      io.Reader
	header []byte
	inBody bool // header is complete
	body   hash.Hash
	size   int64
	blank  bool // content begins with an empty line
	err    error
}

// NewScanner reads from r, whose lines end in CRLF.
func NewScanner(r io.Reader) *Scanner { return &Scanner{r: r, body: sha256.New()} }

// Read passes on what r gives. Its errors are those of r, or 552 5.3.4 for a header that is too large.
func (s *Scanner) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.size += int64(n)
	if n > 0 {
		if tooLarge := s.look(p[:n]); tooLarge != nil {
			s.err = tooLarge
			return 0, tooLarge
		}
	}
	return n, err
}

var blank = []byte("\r\n\r\n")

func (s *Scanner) look(p []byte) error {
	if s.inBody {
		s.body.Write(p)
		return nil
	}
	from := max(0, len(s.header)-len(blank)+1)
	s.header = append(s.header, p...)
	end := -1
	switch i := bytes.Index(s.header[from:], blank); {
	case headless(s.header):
		s.blank = bytes.HasPrefix(s.header, crlf)
		end = 0
	case i >= 0:
		end = from + i + len(blank)
	case len(s.header) > MaxHeader:
		return errHeaderTooLarge
	default:
		return nil
	}
	if end > MaxHeader {
		return errHeaderTooLarge
	}
	s.inBody = true
	s.body.Write(s.header[end:])
	s.header = s.header[:end]
	return nil
}

// headless tells that content does not begin with a header field: it begins with an empty line, or with something else.
func headless(content []byte) bool {
	line, _, complete := bytes.Cut(content, crlf)
	return len(line) > maxFirstLine || complete && fieldName(line) == nil
}

// maxFirstLine is the length from which a first line is no header field, wherever the content was cut into reads.
const maxFirstLine = 64 << 10

// BeginsBlank tells that the content begins with the empty line that ends a header without fields.
func (s *Scanner) BeginsBlank() bool { return s.blank }

// Size is the number of octets read.
func (s *Scanner) Size() int64 { return s.size }

// Header is what was found; valid when Read has returned io.EOF.
func (s *Scanner) Header() *Header {
	if !s.inBody && headless(s.header) {
		s.body.Write(s.header)
		s.header = nil
	}
	return parse(s.header)
}

// Sum is the hash of the body; call Header before.
func (s *Scanner) Sum() [sha256.Size]byte { return [sha256.Size]byte(s.body.Sum(nil)) }
