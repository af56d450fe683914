package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
)

// sink is the next hop: it offers STARTTLS, as MX hosts and relays do, takes everything and counts messages.
type sink struct {
	net.Listener
	tls     *tls.Config // nil: no STARTTLS
	count   atomic.Int64
	arrived chan struct{} // a token after each message, for whoever waits
	wg      sync.WaitGroup
}

// startSink listens on loopback; certificate is a PEM file with key and certificate, "" offers no STARTTLS.
func startSink(certificate string) (*sink, error) {
	var config *tls.Config
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, certificate)
		if err != nil {
			return nil, err
		}
		config = &tls.Config{Certificates: []tls.Certificate{pair}, CurvePreferences: []tls.CurveID{tls.X25519}}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{Listener: l, tls: config, arrived: make(chan struct{}, 1)}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(c) })
		}
	})
	return s, nil
}

// Addr is host:port.
func (s *sink) Addr() string { return s.Listener.Addr().String() }

// wait returns when n messages have come in all.
func (s *sink) wait(n int64) {
	for s.count.Load() < n {
		<-s.arrived
	}
}

func (s *sink) serve(c net.Conn) {
	defer func() { c.Close() }()
	r, w := bufio.NewReaderSize(c, 64<<10), bufio.NewWriter(c)
	io.WriteString(w, "220 sink ESMTP\r\n")
	for {
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(line[:min(4, len(line))]); verb {
		case "EHLO":
			io.WriteString(w, "250-sink\r\n")
			if _, secret := c.(*tls.Conn); s.tls != nil && !secret {
				io.WriteString(w, "250-STARTTLS\r\n")
			}
			io.WriteString(w, "250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 104857600\r\n")
		case "STAR":
			io.WriteString(w, "220 go\r\n")
			if w.Flush() != nil {
				return
			}
			c = tls.Server(c, s.tls)
			r, w = bufio.NewReaderSize(c, 64<<10), bufio.NewWriter(c)
		case "DATA":
			io.WriteString(w, "354 go\r\n")
			if w.Flush() != nil || skipContent(r) != nil {
				return
			}
			io.WriteString(w, "250 2.0.0 ok\r\n")
			s.count.Add(1)
			select {
			case s.arrived <- struct{}{}:
			default:
			}
		case "QUIT":
			io.WriteString(w, "221 bye\r\n")
			w.Flush()
			return
		default:
			io.WriteString(w, "250 2.0.0 ok\r\n")
		}
	}
}

func skipContent(r *bufio.Reader) error {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		if len(line) == 3 && line[0] == '.' {
			return nil
		}
	}
}
