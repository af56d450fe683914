package deliver

import (
	"bytes"
	"io"
)

// blockSize is how much content is written at once.
const blockSize = 64 << 10

// A stuffer turns content into what stands between 354 and the final dot: every line ends in CRLF and a dot at its
// beginning is doubled (RFC 5321 §4.5.2).
//
// The door has repaired line ends already. Should anything else get here, a CR or LF alone becomes CRLF and NUL is left
// out, before dots are looked for: receivers that take "\n.\r\n" or "\r\n\x00.\r\n" for an end find no second message.
type stuffer struct {
	buf  []byte // of capacity blockSize
	send func([]byte) error
	mid  bool // in the middle of a line
	cr   bool // a CR was read, and what follows decides
}

// copy sends all of r, without the final dot, and leaves the tail in the buffer.
// broken tells an error of send from one of r.
func (s *stuffer) copy(r io.Reader, in []byte) (broken bool, err error) {
	for {
		n, err := r.Read(in)
		if werr := s.write(in[:n]); werr != nil {
			return true, werr
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// write takes part of the content.
func (s *stuffer) write(p []byte) error {
	for len(p) > 0 {
		if s.cr {
			s.cr = false
			if p[0] == '\n' {
				p = p[1:]
			}
			if err := s.endLine(); err != nil {
				return err
			}
			continue
		}
		line, end := p, false
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			line, end = p[:i], true
		}
		if i := bytes.IndexByte(line, '\r'); i >= 0 {
			s.cr, end = true, false
			line = line[:i]
		}
		if err := s.text(line); err != nil {
			return err
		}
		p = p[len(line):]
		if s.cr || end {
			p = p[1:]
		}
		if end {
			if err := s.endLine(); err != nil {
				return err
			}
		}
	}
	return nil
}

// text takes octets without line ends.
func (s *stuffer) text(p []byte) error {
	for len(p) > 0 {
		part := p
		if i := bytes.IndexByte(p, 0); i >= 0 {
			part = p[:i]
			p = p[i+1:]
		} else {
			p = nil
		}
		if len(part) == 0 {
			continue
		}
		if !s.mid && part[0] == '.' {
			if err := s.put([]byte{'.'}); err != nil {
				return err
			}
		}
		s.mid = true
		if err := s.put(part); err != nil {
			return err
		}
	}
	return nil
}

func (s *stuffer) endLine() error {
	s.mid = false
	return s.put(crlf)
}

var crlf = []byte("\r\n")

func (s *stuffer) put(p []byte) error {
	for len(p) > 0 {
		n := copy(s.buf[len(s.buf):cap(s.buf)], p)
		s.buf, p = s.buf[:len(s.buf)+n], p[n:]
		if len(s.buf) == cap(s.buf) {
			if err := s.send(s.buf); err != nil {
				return err
			}
			s.buf = s.buf[:0]
		}
	}
	return nil
}

// finish ends the last line, if it has no end, and sends the final dot. sent is called when nothing but the last block
// is left to send: from there on the hop may have the message.
func (s *stuffer) finish(sent func()) error {
	if s.cr || s.mid {
		s.cr = false
		if err := s.endLine(); err != nil {
			return err
		}
	}
	if cap(s.buf)-len(s.buf) < len(finalDot) {
		if err := s.send(s.buf); err != nil {
			return err
		}
		s.buf = s.buf[:0]
	}
	s.buf = append(s.buf, finalDot...)
	sent()
	return s.send(s.buf)
}

const finalDot = ".\r\n"
