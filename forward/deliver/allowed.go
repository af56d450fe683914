package deliver

import (
	"context"
	"fmt"
	"strconv"

	"github.com/emersion/go-smtp"
)

// allowed settles those recipients that the hop cannot serve with what the message needs. The error is errContent.
func (t *task) allowed(ctx context.Context, c *conn) error {
	m := t.m
	if m.RequireTLS && (!c.verified || !c.offers("REQUIRETLS")) {
		e := smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 30},
			Message: c.label + " has no verified TLS or no REQUIRETLS, which the message demands"}
		if c.tlsBroken {
			e = *temporary(codeTLS, "%s: TLS failed, and the message demands it", c.label)
		}
		t.unfit(c, t.pending(), e)
	}
	if limit, err := strconv.ParseInt(c.ext["SIZE"], 10, 64); err == nil && limit > 0 && m.Size > limit { // RFC 1870 §6.1
		t.unfit(c, t.pending(), smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 3, 4},
			Message: fmt.Sprintf("the message has %d octets, but %s takes %d at most", m.Size, c.label, limit)})
	}
	if m.Body == smtp.Body8BitMIME && !c.offers("8BITMIME") && len(t.pending()) > 0 {
		found, err := m.eightBit(ctx, t.bufs.in, false)
		if err != nil {
			return errContent{err}
		}
		if found { // RFC 6152 §3
			t.unfit(c, t.pending(), smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 3},
				Message: c.label + " takes 7-bit content only, and the message has 8-bit content"})
		}
	}
	return t.international(ctx, c)
}

// international decides whether SMTPUTF8 is used, and settles those that need it if the hop has it not (RFC 6531 §3.2).
func (t *task) international(ctx context.Context, c *conn) error {
	m := t.m
	needed := m.UTF8 || !isASCII(m.From)
	for i := range m.Recipients {
		needed = needed || !isASCII(m.Recipients[i].Address)
	}
	c.utf8 = needed && c.offers("SMTPUTF8")
	if !needed || c.utf8 {
		return nil
	}
	e := smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 6, 7},
		Message: c.label + " has no SMTPUTF8, which addresses or header of the message need"}
	if _, ok := ascii(m.From); !ok {
		t.unfit(c, t.pending(), e)
	}
	for _, i := range t.pending() {
		if _, ok := ascii(m.Recipients[i].Address); !ok {
			t.unfit(c, []int{i}, e)
		}
	}
	if !m.UTF8 || len(t.pending()) == 0 {
		return nil
	}
	// Many clients say SMTPUTF8 whenever it is offered. Only what really needs it fails here.
	found, err := m.eightBit(ctx, t.bufs.in, true)
	if err != nil {
		return errContent{err}
	}
	if found {
		t.unfit(c, t.pending(), e)
	}
	return nil
}

// unfit settles recipients with what the hop lacks.
func (t *task) unfit(c *conn, which []int, e smtp.SMTPError) {
	for _, i := range which {
		t.results[i].Unfit = t.results[i].Reply.Code == 0
	}
	t.settle(c, which, e)
}
