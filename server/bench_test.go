package server

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// A whole message over a kept connection with TLS: client, guard, go-smtp, session, policy, and a store in memory. The figures include the client's part.
func BenchmarkMessage(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			h := open(b, func(s *Server) { s.Log = zerolog.Nop() })
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			go relayTo(l, h.submissions)
			b.Cleanup(func() { l.Close() })
			conn, err := tls.Dial("tcp", l.Addr().String(), clientTLS())
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			in := bufio.NewReaderSize(conn, 4096)
			expect := func(code string) {
				for {
					line, err := in.ReadSlice('\n')
					if err != nil || string(line[:3]) != code {
						b.Fatalf("got %q, %v, want %s", line, err, code)
					}
					if line[3] == ' ' {
						return
					}
				}
			}
			say := func(text []byte) {
				if _, err := conn.Write(text); err != nil {
					b.Fatal(err)
				}
			}
			expect("220")
			say([]byte("EHLO laptop\r\n"))
			expect("250")
			say([]byte("AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00bob\x00"+password)) + "\r\n"))
			expect("235")
			envelope := []byte("MAIL FROM:<bob@example.org>\r\nRCPT TO:<carol@dest.example>\r\nDATA\r\n")
			body := []byte("From: bob@example.org\r\nSubject: a report\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", size/78) + ".\r\n")
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				say(envelope)
				expect("250")
				expect("250")
				expect("354")
				say(body)
				expect("250")
				h.store.forget()
			}
		})
	}
}

// relayTo hands the connections of a real listener to a pipeListener's server.
func relayTo(l net.Listener, to *pipeListener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		to.conns <- c
	}
}
