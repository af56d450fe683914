package deliver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// maxBatch is how many recipients one transaction has at most: what every hop must take (RFC 5321 §4.5.3.1.8).
const maxBatch = 100

// errStale means that a kept connection was dead; nothing was said on it.
var errStale = errors.New("deliver: the kept connection is dead")

// errContent wraps an error of the message's own content.
type errContent struct{ error }

func (e errContent) Unwrap() error { return e.error }

// A task is a message on its way to one hop.
type task struct {
	m       *Message
	results []Result // in the order of m.Recipients; Reply.Code 0 = not settled
	bufs    buffers
}

func newTask(m *Message) *task {
	t := &task{m: m, results: make([]Result, len(m.Recipients))}
	for i, r := range m.Recipients {
		t.results[i].Address = r.Address
	}
	return t
}

func (t *task) pending() []int {
	var p []int
	for i := range t.results {
		if t.results[i].Reply.Code == 0 {
			p = append(p, i)
		}
	}
	return p
}

// settled returns the results there are.
func (t *task) settled() []Result {
	var out []Result
	for _, r := range t.results {
		if r.Reply.Code != 0 {
			out = append(out, r)
		}
	}
	return out
}

func (t *task) settle(c *conn, which []int, e smtp.SMTPError) {
	for _, i := range which {
		if r := &t.results[i]; r.Reply.Code == 0 {
			r.Reply = e
			if c != nil {
				r.Hop, r.TLS = c.label, c.version()
				r.RelayedToDSN = c.offers("DSN") && e.Code/100 == 2
			}
		}
	}
}

// check settles what may never be written to a wire.
func (t *task) check() {
	m := t.m
	switch {
	case !writable(m.From):
		t.settle(nil, t.pending(), smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 7}, Message: "the sender's address is malformed"})
	case m.Body == smtp.BodyBinaryMIME:
		t.settle(nil, t.pending(), smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 1}, Message: "BINARYMIME is not sent from here"})
	}
	for i, r := range m.Recipients {
		if r.Address == "" || !writable(r.Address) {
			t.settle(nil, []int{i}, smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 3}, Message: "the recipient's address is malformed"})
		}
	}
}

// talk brings all pending recipients to the hop, in as many transactions as it takes.
// The connection may be used further if it is not over. The error is errStale, errContent, or that of ctx.
func (t *task) talk(ctx context.Context, c *conn) error {
	if err := t.allowed(ctx, c); err != nil {
		return err
	}
	for pending := t.pending(); len(pending) > 0; pending = t.pending() {
		if c.messages >= maxMessages {
			t.settle(c, pending, *temporary(smtp.EnhancedCode{4, 5, 3}, "%s: too many recipients for one connection", c.label))
			break
		}
		x := transaction{task: t, c: c, batch: pending[:min(len(pending), c.batch())]}
		err := x.run(ctx)
		if errors.Is(err, errStale) {
			return err
		}
		if content, ok := errors.AsType[errContent](err); ok {
			return content
		}
		if c.over {
			if ctx.Err() != nil && len(t.pending()) > 0 {
				return context.Cause(ctx)
			}
			e, ok := errors.AsType[*smtp.SMTPError](err)
			if !ok {
				e = temporary(smtp.EnhancedCode{4, 4, 2}, "%s: closed the connection", c.label)
			}
			t.settle(c, t.pending(), *e)
			break
		}
		t.settle(c, x.refusedAsTooMany(), x.tooMany)
	}
	return nil
}

// batch is how many recipients the hop takes at once.
func (c *conn) batch() int {
	for p := range strings.FieldsSeq(c.ext["LIMITS"]) { // RFC 9422
		if v, ok := strings.CutPrefix(p, "RCPTMAX="); ok {
			if n, err := strconv.Atoi(v); err == nil && n > 0 {
				return min(n, maxBatch)
			}
		}
	}
	return maxBatch
}

// A transaction is one MAIL … DATA with one hop.
type transaction struct {
	*task
	c        *conn
	batch    []int // recipients, as indices
	accepted []int
	later    []int          // refused as one too many
	tooMany  smtp.SMTPError // the last such reply
	buf      []byte         // the commands
	ends     []int          // where each ends in buf
	wrote    sync.WaitGroup
	begun    time.Time
}

// refusedAsTooMany returns the recipients that have to wait. Those that were one too many after others
// had been taken are not among them: they go in the next transaction.
func (x *transaction) refusedAsTooMany() []int {
	if len(x.accepted) > 0 {
		return nil
	}
	return x.later
}

// run carries it out and settles the recipients. An error means that the connection is over;
// as *smtp.SMTPError it is meant for all that is pending.
func (x *transaction) run(ctx context.Context) error {
	c := x.c
	x.begun = time.Now()
	c.messages++
	x.commands()
	pipelining := c.offers("PIPELINING")
	if pipelining {
		// The hop may answer the first command before it reads the last one, and may stop reading until we have taken
		// its answers (RFC 2920 §3.1): so writing and reading go on side by side.
		x.wrote.Go(func() {
			if c.write(x.buf, c.timeouts.Mail) != nil {
				c.giveUp()
			}
		})
		defer x.wrote.Wait()
		defer func() {
			if c.over {
				c.close() // so that the writer ends
			}
		}()
	}
	mail, err := x.step(0, "MAIL", !pipelining)
	if c.reused && (err != nil || mail.code == 421) && ctx.Err() == nil {
		c.over = true
		return errStale
	}
	c.reused = false
	if err != nil {
		return err
	}
	if mail.ok() || pipelining {
		if err := x.recipients(mail, pipelining); err != nil {
			return err
		}
	}
	if !mail.ok() {
		x.settle(c, x.batch, c.verdict("MAIL", mail))
	}
	if c.over {
		e := c.verdict("MAIL", mail)
		return &e
	}
	if len(x.accepted) == 0 && !pipelining {
		return x.reset(mail.ok())
	}
	return x.data(ctx, pipelining, mail.ok())
}

// commands writes MAIL, each RCPT and DATA into buf.
func (x *transaction) commands() {
	x.buf = x.c.appendMail(x.buf, x.m)
	x.ends = append(x.ends, len(x.buf))
	for _, i := range x.batch {
		x.buf = x.c.appendRcpt(x.buf, &x.m.Recipients[i])
		x.ends = append(x.ends, len(x.buf))
	}
	x.buf = append(x.buf, "DATA\r\n"...)
	x.ends = append(x.ends, len(x.buf))
}

// step writes command n, if that has not been done, and reads its reply.
func (x *transaction) step(n int, stage string, write bool) (reply, error) {
	c := x.c
	d := c.timeouts.Rcpt
	switch stage {
	case "MAIL":
		d = c.timeouts.Mail
	case "DATA":
		d = c.timeouts.Data
	}
	if write {
		begin := 0
		if n > 0 {
			begin = x.ends[n-1]
		}
		if err := c.write(x.buf[begin:x.ends[n]], d); err != nil {
			c.over = true
			return reply{}, c.lost(stage, err)
		}
	}
	r, err := c.read(d)
	if err != nil {
		return reply{}, c.lost(stage, err)
	}
	return r, nil
}

// recipients reads the replies to RCPT, and settles those that were refused.
func (x *transaction) recipients(mail reply, pipelining bool) error {
	c := x.c
	for n, i := range x.batch {
		if c.over { // a 421 to the command before
			return nil
		}
		r, err := x.step(n+1, "RCPT", !pipelining)
		if err != nil {
			return err
		}
		switch {
		case !mail.ok():
			// It only says that there was no MAIL.
		case r.ok():
			x.accepted = append(x.accepted, i)
		case r.code == 421:
			e := c.verdict("RCPT", r)
			return &e
		default:
			x.refuse(i, r)
		}
	}
	return nil
}

// refuse settles a refused recipient, or keeps it for another transaction if it was one too many.
func (x *transaction) refuse(i int, r reply) {
	e := x.c.verdict("RCPT", r)
	if r.code == 552 {
		// RFC 5321 §4.5.3.1.10: 552 here is an old way to say 452.
		e.Code = 452
		e.EnhancedCode[0] = 4
		if e.EnhancedCode == (smtp.EnhancedCode{4, 0, 0}) {
			e.EnhancedCode = smtp.EnhancedCode{4, 5, 3}
		}
	}
	if e.Code == 452 && (e.EnhancedCode == smtp.EnhancedCode{4, 5, 3} || e.EnhancedCode == smtp.EnhancedCode{4, 0, 0}) {
		x.later, x.tooMany = append(x.later, i), e
		return
	}
	x.settle(x.c, []int{i}, e)
}

// data sends DATA and the content to those that were accepted.
func (x *transaction) data(ctx context.Context, pipelining, begun bool) error {
	c := x.c
	r, err := x.step(len(x.ends)-1, "DATA", !pipelining)
	if err != nil {
		return err
	}
	// A hop that answers before it has read must not get content amid the commands.
	x.wrote.Wait()
	if r.code != 354 {
		if r.code != 421 && len(x.accepted) == 0 {
			return x.reset(begun)
		}
		e := c.verdict("DATA", r)
		x.settle(c, x.accepted, e)
		if c.over {
			return &e
		}
		return x.reset(true)
	}
	if len(x.accepted) == 0 {
		// RFC 2920 §3.1: the hop wants content though nobody is to get it. An empty one ends the matter.
		if _, err := c.command(".", c.timeouts.Dot); err != nil {
			return c.lost("DATA", err)
		}
		return nil
	}
	c.metrics.done(stepEnvelope, x.begun)
	begin := time.Now()
	defer c.dot(false)
	if err := x.content(ctx); err != nil {
		c.over = true
		return err
	}
	if r, err = c.read(c.timeouts.Dot); err != nil {
		e := c.lost("final dot", err)
		e.Message += "; the message will be sent again, so that a second copy may arrive"
		x.settle(c, x.accepted, *e)
		for _, i := range x.accepted {
			x.results[i].Lost = true
		}
		return e
	}
	c.metrics.done(stepData, begin)
	x.settle(c, x.accepted, c.verdict("final dot", r))
	if c.over {
		e := c.verdict("final dot", r)
		return &e
	}
	return nil
}

// content streams the message up to the final dot.
func (x *transaction) content(ctx context.Context) error {
	c := x.c
	body, err := x.m.Open(ctx)
	if err != nil {
		return errContent{fmt.Errorf("open message: %w", err)}
	}
	defer body.Close()
	send := func(p []byte) error { return c.write(p, c.timeouts.Block) }
	s := stuffer{buf: x.bufs.out[:0], send: send}
	broken, err := s.copy(body, x.bufs.in)
	switch {
	case err != nil && !broken && ctx.Err() == nil:
		return errContent{fmt.Errorf("read message: %w", err)}
	case err == nil:
		err = s.finish(func() { c.dot(true) })
	}
	if err == nil {
		return nil
	}
	// A hop that hangs up in the middle of the content often says why.
	if ctx.Err() == nil {
		if r, err := c.read(c.timeouts.Quit); err == nil && !r.ok() {
			e := c.verdict("content", r)
			x.settle(c, x.accepted, e)
			return c.refused(codeHop, "content", r)
		}
	}
	return c.lost("content", err)
}

// reset clears what the hop still holds of a transaction, so that the connection can serve the next one.
func (x *transaction) reset(needed bool) error {
	if !needed {
		return nil
	}
	r, err := x.c.command("RSET", x.c.timeouts.Reset)
	if err != nil || !r.ok() {
		x.c.over = true
		return x.c.lost("RSET", err)
	}
	return nil
}

// verdict makes a reply what a recipient hears.
func (c *conn) verdict(stage string, r reply) smtp.SMTPError {
	e := r.smtpError()
	switch class := r.code / 100; {
	case class == 3, class == 2 && stage == "DATA":
		return *temporary(smtp.EnhancedCode{4, 5, 0}, "%s: %s: unexpected reply %d %s", c.label, stage, e.Code, e.Message)
	case class == 5 && c.wantsOther(e):
		// It speaks of our login or TLS, not of this mail, and so is no reason to bounce it.
		return *c.refused(codeLogin, stage, r)
	}
	return e
}

// wantsOther tells whether a 5xx reply asks for a login or for TLS that this connection failed to have.
func (c *conn) wantsOther(e smtp.SMTPError) bool {
	switch e.Code {
	case 530, 534, 535, 538: // RFC 4954 §6
		return c.hop.Relay || c.tlsBroken
	}
	return c.tlsBroken && (e.EnhancedCode == smtp.EnhancedCode{5, 7, 10} || e.EnhancedCode == smtp.EnhancedCode{5, 7, 11})
}
