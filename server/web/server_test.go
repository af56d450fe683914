package web

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// one is a listener with one connection.
type one struct {
	conns chan net.Conn
	ended chan struct{}
}

func (l one) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

func (l one) Close() error {
	close(l.ended)
	return nil
}

func (l one) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// A request under way has its moment at the end, and then its context ends and its connection is closed. One that ends by itself is answered.
func TestClose(t *testing.T) {
	for path, want := range map[string]time.Duration{"/slow": closeTime, "/": closeTime / 2} {
		synctest.Test(t, func(t *testing.T) {
			requests, cut := context.WithCancel(t.Context())
			defer cut()
			end := make(chan struct{}) // of a request that does not heed its context
			defer close(end)
			s := NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					<-end
					return
				}
				time.Sleep(closeTime / 2) // the bubble's clock
				io.WriteString(w, "whole")
			}), time.Minute, zerolog.Nop())
			s.BaseContext = func(net.Listener) context.Context { return requests }
			client, server := net.Pipe()
			defer client.Close()
			l := one{make(chan net.Conn, 1), make(chan struct{})}
			l.conns <- server
			served := make(chan error)
			go func() { served <- s.Serve(l) }()
			answer := make(chan string)
			go func() {
				text, _ := io.ReadAll(client)
				answer <- string(text)
			}()
			io.WriteString(client, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
			synctest.Wait()
			began := time.Now()
			Close(s, cut)
			if took := time.Since(began); took < want || took > want+time.Second {
				t.Errorf("%s: closing took %s", path, took)
			}
			if whole := strings.Contains(<-answer, "whole"); whole != (path == "/") {
				t.Errorf("%s: the answer came: %v", path, whole)
			}
			if cutOff := requests.Err() != nil; cutOff != (path == "/slow") {
				t.Errorf("%s: requests were cut off: %v", path, cutOff)
			}
			if err := <-served; err != http.ErrServerClosed {
				t.Error(err)
			}
		})
	}
}

// Panics are faults of ours, and clients that go away are none.
func TestComplaints(t *testing.T) {
	var log strings.Builder
	s := NewServer(http.NotFoundHandler(), time.Minute, zerolog.New(&log))
	s.ErrorLog.Print("http: panic serving pipe: of the queue")
	s.ErrorLog.Print("http: TLS handshake error")
	if got := log.String(); strings.Count(got, `"level":"error"`) != 1 || strings.Count(got, `"level":"debug"`) != 1 || !strings.Contains(got, "of the queue") {
		t.Error(got)
	}
}
