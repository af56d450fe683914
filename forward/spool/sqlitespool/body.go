package sqlitespool

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

func (s *Spool) bodyFile(id string) string { return filepath.Join(s.config.Dir, "body", id) }

// createBody makes a body file. It never opens one that is there already, be it a file or a planted link.
func (s *Spool) createBody(id string) (*os.File, error) {
	return os.OpenFile(s.bodyFile(id), os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
}

// Body opens the content of a message. Small ones are checked here, large ones while they are read: the last Read returns
// spool.ErrDamaged instead of io.EOF, so that a caller who sends as it reads must not end the message at another error than io.EOF.
func (s *Spool) Body(ctx context.Context, id string) (io.ReadCloser, error) {
	if k := s.cache.get(id); k != nil && !k.file {
		return io.NopCloser(join(k.top, bytes.NewReader(k.body))), nil
	}
	c, err := s.readers.get(ctx)
	if err != nil {
		return nil, err
	}
	defer s.readers.put(c)
	var body io.ReadCloser
	err = spool.ErrNotFound
	fault := c.query("SELECT account, arrived, size, envelope, top, cut, sum, written, body_sum, body FROM message WHERE id = ?", func(v []driver.Value) error {
		if _, err = readEnvelope(id, v); err == nil {
			body, err = s.open(id, v)
		}
		return nil
	}, id)
	if err = errors.Join(fault, err); err != nil {
		return nil, fmt.Errorf("body of %s: %w", id, err)
	}
	return body, nil
}

// open takes the columns of Body's query.
func (s *Spool) open(id string, v []driver.Value) (io.ReadCloser, error) {
	top, written, checksum := blob(v[4]), integer(v[7]), uint32(integer(v[8]))
	if v[9] != nil {
		body := blob(v[9])
		if int64(len(body)) != written || crc32.Checksum(body, castagnoli) != checksum {
			return nil, fmt.Errorf("%w: the body's checksum is wrong", spool.ErrDamaged)
		}
		return io.NopCloser(join(top, bytes.NewReader(body))), nil
	}
	var cut []spool.Range
	if text := blob(v[5]); text != nil {
		if err := json.Unmarshal(text, &cut); err != nil {
			return nil, fmt.Errorf("%w: cut: %w", spool.ErrDamaged, err)
		}
	}
	// Without O_NONBLOCK a pipe in the file's place would hold this goroutine up for ever.
	f, err := os.OpenFile(s.bodyFile(id), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: the body's file: %w", spool.ErrDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() != written {
		f.Close()
		return nil, fmt.Errorf("%w: the body's file does not have its %d octets", spool.ErrDamaged, written)
	}
	file := &fileBody{file: f, cut: cut, left: written, checksum: checksum}
	return struct {
		io.Reader
		io.Closer
	}{join(top, file), f}, nil
}

func join(top []byte, rest io.Reader) io.Reader {
	if len(top) == 0 {
		return rest
	}
	return io.MultiReader(bytes.NewReader(top), rest)
}

// fileBody reads a body file, leaves out what was cut, and checks the whole of it.
type fileBody struct {
	file     *os.File
	cut      []spool.Range // those still to come
	at, left int64
	crc      uint32
	checksum uint32
}

func (b *fileBody) Read(p []byte) (int, error) {
	for {
		if b.left == 0 {
			if b.crc != b.checksum {
				return 0, fmt.Errorf("%w: the body's checksum is wrong", spool.ErrDamaged)
			}
			return 0, io.EOF
		}
		if len(p) == 0 {
			return 0, nil
		}
		// One read is wholly inside or wholly outside a span.
		want, drop := b.left, false
		if len(b.cut) > 0 {
			if r := b.cut[0]; b.at >= r.To {
				b.cut = b.cut[1:]
				continue
			} else if b.at >= r.From {
				want, drop = r.To-b.at, true
			} else {
				want = r.From - b.at
			}
		}
		n, err := b.file.Read(p[:min(int64(len(p)), want)])
		b.crc = crc32.Update(b.crc, castagnoli, p[:n])
		b.at, b.left = b.at+int64(n), b.left-int64(n)
		if err == io.EOF {
			err = fmt.Errorf("%w: the body's file is short", spool.ErrDamaged)
		}
		if err != nil {
			return 0, err
		}
		if !drop {
			return n, nil
		}
	}
}
