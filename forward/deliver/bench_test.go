package deliver

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/route"
)

// A sink answers a pipelined transaction as fast as it can.
func sink(l net.Listener) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer nc.Close()
			br := bufio.NewReaderSize(nc, blockSize)
			io.WriteString(nc, "220 x\r\n")
			for {
				line, err := br.ReadSlice('\n')
				if err != nil {
					return
				}
				switch {
				case bytes.HasPrefix(line, []byte("EHLO")):
					io.WriteString(nc, "250-x\r\n250 PIPELINING\r\n")
				case bytes.HasPrefix(line, []byte("QUIT")):
					io.WriteString(nc, "221 bye\r\n")
					return
				case bytes.HasPrefix(line, []byte("DATA")):
					io.WriteString(nc, "250 ok\r\n250 ok\r\n354 go\r\n")
					for !bytes.Equal(line, []byte(finalDot)) {
						if line, err = br.ReadSlice('\n'); err != nil {
							return
						}
					}
					io.WriteString(nc, "250 ok\r\n")
				}
			}
		}()
	}
}

// BenchmarkDeliver is 10 KB messages over one kept connection with pipelining, on loopback.
func BenchmarkDeliver(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go sink(l)
	d := &Deliverer{Hostname: "us.example"}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	d.idle.set(true)
	go func() { ended <- d.Run(ctx) }()
	at := netip.MustParseAddrPort(l.Addr().String())
	hop := route.Hop{Host: "sink", Port: at.Port(), Addrs: []netip.Addr{at.Addr()}}
	text := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 131)
	m := message("a@x")
	m.Open, m.Body = opener(text), smtp.Body7Bit
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		rs, err := d.Deliver(ctx, hop, m)
		if err != nil || rs[0].Reply.Code != 250 {
			b.Fatal(rs, err)
		}
	}
	cancel()
	<-ended
}
