package deliver

import (
	"cmp"
	"time"
)

// Timeouts are how long a Deliverer waits for a hop. Zero fields have the defaults, which are those of
// RFC 5321 §4.5.3.2 where it names one. Shorter ones than these make duplicates and bounces.
type Timeouts struct {
	Connect  time.Duration // for each address; 30 s
	Greeting time.Duration // 5 min
	Hello    time.Duration // EHLO, HELO, STARTTLS, AUTH, each; 5 min
	TLS      time.Duration // the handshake; 1 min
	Mail     time.Duration // 5 min
	Rcpt     time.Duration // each; 5 min
	Data     time.Duration // reply to DATA; 2 min
	Block    time.Duration // sending 64 KiB of content; 3 min
	Dot      time.Duration // reply to the final dot; 10 min (RFC 1047)
	Reset    time.Duration // reply to RSET; 20 s
	Quit     time.Duration // reply to QUIT; 5 s
	Grace    time.Duration // reply to the final dot when the context has ended; 30 s
}

func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{
		Connect:  cmp.Or(t.Connect, 30*time.Second),
		Greeting: cmp.Or(t.Greeting, 5*time.Minute),
		Hello:    cmp.Or(t.Hello, 5*time.Minute),
		TLS:      cmp.Or(t.TLS, time.Minute),
		Mail:     cmp.Or(t.Mail, 5*time.Minute),
		Rcpt:     cmp.Or(t.Rcpt, 5*time.Minute),
		Data:     cmp.Or(t.Data, 2*time.Minute),
		Block:    cmp.Or(t.Block, 3*time.Minute),
		Dot:      cmp.Or(t.Dot, 10*time.Minute),
		Reset:    cmp.Or(t.Reset, 20*time.Second),
		Quit:     cmp.Or(t.Quit, 5*time.Second),
		Grace:    cmp.Or(t.Grace, 30*time.Second),
	}
}
