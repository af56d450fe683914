package smarthosttest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func pipes() (client, server *pipe) {
	return newPipe(&net.TCPAddr{Port: 1}, &net.TCPAddr{Port: 2})
}

// What is written comes out, more of it than there is space for, and both sides may write before either reads.
func TestPipeCarries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := pipes()
		sent := bytes.Repeat([]byte("0123456789abcdef"), pipeSpace/4)
		var writing sync.WaitGroup
		for _, side := range []*pipe{a, b} {
			writing.Go(func() {
				side.Write(sent)
				side.CloseWrite()
			})
		}
		synctest.Wait() // both wait for room
		for _, side := range []*pipe{b, a} {
			if got, err := io.ReadAll(side); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d octets came, %v", len(got), err)
			}
		}
		writing.Wait()
	})
}

func TestPipeEnds(t *testing.T) {
	t.Parallel()
	one := make([]byte, 1)
	for name, c := range map[string]struct {
		end                      func(a, b *pipe)
		read, write, secondWrite error // of a
	}{
		"open, and late":     {func(a, _ *pipe) { a.SetDeadline(time.Now().Add(-time.Second)) }, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
		"the other half":     {func(_, b *pipe) { b.CloseWrite() }, io.EOF, nil, nil},
		"the other side":     {func(_, b *pipe) { b.Close() }, io.EOF, nil, syscall.EPIPE},
		"this half":          {func(a, b *pipe) { a.CloseWrite(); b.CloseWrite() }, io.EOF, io.ErrClosedPipe, io.ErrClosedPipe},
		"this side":          {func(a, _ *pipe) { a.Close() }, net.ErrClosed, net.ErrClosed, net.ErrClosed},
		"a reset":            {func(_, b *pipe) { b.reset() }, syscall.ECONNRESET, syscall.ECONNRESET, syscall.ECONNRESET},
		"a reset at the end": {func(_, b *pipe) { b.CloseWrite(); b.reset() }, syscall.ECONNRESET, syscall.ECONNRESET, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pipes()
			c.end(a, b)
			if _, err := a.Read(one); !errors.Is(err, c.read) {
				t.Errorf("read: %v, want %v", err, c.read)
			}
			for _, want := range []error{c.write, c.secondWrite} {
				if n, err := a.Write(one); !errors.Is(err, want) || err == nil && n != 1 {
					t.Errorf("write: %v, want %v", err, want)
				}
			}
		})
	}
}

// A wait ends at its deadline, when the deadline is moved into the past, and not at one that was taken back.
func TestPipeDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := pipes()
		one := make([]byte, 1)
		a.SetReadDeadline(time.Now().Add(time.Minute))
		begin := time.Now()
		if _, err := a.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		a.SetReadDeadline(time.Now().Add(time.Minute))
		a.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Hour, func() { b.Write(one) })
		if n, err := a.Read(one); n != 1 || err != nil {
			t.Error(n, err)
		}
		time.AfterFunc(time.Hour, func() { a.SetReadDeadline(time.Unix(1, 0)) })
		if _, err := a.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}
