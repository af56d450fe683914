package deliver

import (
	"context"
	"fmt"
	"io"
)

// eightBit reads the content, or only its header, and tells whether there are octets above 127.
func (m *Message) eightBit(ctx context.Context, buf []byte, headerOnly bool) (found bool, err error) {
	body, err := m.Open(ctx)
	if err != nil {
		return false, fmt.Errorf("open message: %w", err)
	}
	defer body.Close()
	lineEmpty, inHeader := true, true
	for {
		n, err := body.Read(buf)
		for _, c := range buf[:n] {
			switch {
			case c >= 0x80:
				return true, nil
			case c == '\n':
				inHeader = inHeader && !lineEmpty
				lineEmpty = true
			case c != '\r':
				lineEmpty = false
			}
			if headerOnly && !inHeader {
				return false, nil
			}
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read message: %w", err)
		}
	}
}
