package guard

import "bytes"

// flaw is what is wrong with the content of a message.
type flaw uint8

const (
	clean flaw = iota
	bareLF
	bareCR
	nul
)

func (f flaw) String() string {
	return [...]string{"", "bare LF", "bare CR", "NUL"}[f]
}

// A scanner finds the end of content sent with DATA and undoes its dot-stuffing (RFC 5321 §4.5.2).
// Only <CRLF>.<CRLF> ends, or .<CRLF> as the first line: whoever takes less can be made to see a second message (RFC 5321 §4.1.1.4).
type scanner struct {
	state uint8
	end   bool // the final dot was read
	flaw  flaw // the first one
}

// States of a scanner.
const (
	atBegin uint8 = iota // after CRLF, and at the very beginning
	atDot                // after a dot at the beginning of a line
	atDotCR              // after a dot and CR at the beginning of a line
	inLine
	afterCR // after CR in a line
)

// scan reads src to its end, to the end of the content, or until dst is full, and copies content to dst.
// With dst nil it copies nothing. It returns how much it wrote and how much it read. When it has found a flaw, dst is of no use.
func (s *scanner) scan(dst, src []byte) (wrote, read int) {
	if dst != nil && len(src) > len(dst) {
		src = src[:len(dst)]
	}
	from := 0 // the beginning of what is not yet copied
	for read < len(src) && !s.end {
		switch b := src[read]; s.state {
		case atBegin:
			s.state = inLine
			if b == '.' {
				if dst != nil {
					wrote += copy(dst[wrote:], src[from:read])
				}
				read++
				from, s.state = read, atDot
			}
		case atDot:
			s.state = inLine
			if b == '\r' {
				read++
				from, s.state = read, atDotCR
			}
		case atDotCR:
			if b == '\n' {
				read++
				from, s.end = read, true
			} else {
				s.fault(bareCR)
				s.state = inLine
			}
		case afterCR:
			if b == '\n' {
				read++
				s.state = atBegin
			} else {
				s.fault(bareCR)
				s.state = inLine
			}
		default:
			read += s.line(src[read:])
		}
	}
	if dst != nil {
		wrote += copy(dst[wrote:], src[from:read])
	}
	if bytes.IndexByte(src[:read], 0) >= 0 {
		s.fault(nul)
	}
	return wrote, read
}

// line passes over what is left of a line, and returns its length.
func (s *scanner) line(src []byte) int {
	lf := bytes.IndexByte(src, '\n')
	if lf > 0 && src[lf-1] == '\r' && bytes.IndexByte(src[:lf-1], '\r') < 0 {
		s.state = atBegin
		return lf + 1
	}
	n := len(src)
	if lf >= 0 {
		n = lf + 1
	}
	if cr := bytes.IndexByte(src[:n], '\r'); cr >= 0 {
		s.state = afterCR
		return cr + 1
	}
	if lf >= 0 {
		s.fault(bareLF)
	}
	return n
}

func (s *scanner) fault(f flaw) {
	if s.flaw == clean {
		s.flaw = f
	}
}

// A chunkScanner looks for flaws in content sent with BDAT, where nothing is stuffed and nothing ends (RFC 3030 §2).
type chunkScanner struct {
	cr, lf bool // the last octets were CR, or CRLF
	flaw   flaw // the first one
}

func (s *chunkScanner) scan(src []byte) {
	if len(src) == 0 {
		return
	}
	if bytes.IndexByte(src, 0) >= 0 {
		s.fault(nul)
	}
	at := 0
	if s.cr {
		if src[0] == '\n' {
			at = 1
		} else {
			s.fault(bareCR)
		}
	}
	last := src[len(src)-1]
	s.lf = last == '\n' && (s.cr && len(src) == 1 || len(src) > 1 && src[len(src)-2] == '\r')
	s.cr = last == '\r'
	for rest := src[at:]; s.flaw == clean && len(rest) > 0; {
		lf, cr := bytes.IndexByte(rest, '\n'), -1
		if lf < 0 {
			if cr = bytes.IndexByte(rest, '\r'); cr >= 0 && cr < len(rest)-1 {
				s.fault(bareCR)
			}
			return
		}
		switch cr = bytes.IndexByte(rest[:lf], '\r'); {
		case cr < 0:
			s.fault(bareLF)
		case cr < lf-1:
			s.fault(bareCR)
		}
		rest = rest[lf+1:]
	}
}

// finish is called after the last chunk.
func (s *chunkScanner) finish() {
	if s.cr {
		s.fault(bareCR)
	}
}

func (s *chunkScanner) fault(f flaw) {
	if s.flaw == clean {
		s.flaw = f
	}
}
