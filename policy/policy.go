package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/policy/limit"
)

// standardReceived is when a message is thought to go round in circles (RFC 5321 §6.3).
const standardReceived = 100

// Policy answers for all sessions. Its fields must not change once it is used; its methods may be called at the same time.
type Policy struct {
	Hostname      string
	Limits        *limit.Limits         // nil limits nothing
	MaxReceived   int                   // Received fields that make a loop; 0 is 100
	AllowLiterals bool                  // take recipients at address literals and at single-label domains
	Metrics       prometheus.Registerer // where reached limits are counted; nil: nowhere

	settings atomic.Pointer[Settings]
	once     sync.Once
	metrics  metrics
}

// Settings can change while the policy is used.
type Settings struct {
	ShowClient bool // write the client's address into Received
}

// Configure puts settings in force for transactions that begin from now on.
func (p *Policy) Configure(s Settings) {
	p.settings.Store(&s)
	p.count()
}

func (p *Policy) current() Settings {
	if s := p.settings.Load(); s != nil {
		return *s
	}
	return Settings{}
}

// A Transaction is one MAIL with its recipients and content. It is used by one goroutine.
// What it took from the account's limits is given back by Cancel, unless Accept was called before.
type Transaction struct {
	policy  *Policy
	account auth.Account
	from    string
	to      []string
	taken   []limit.Take
}

// Mail asks whether acct may send as from, "" being the null reverse-path, and takes one message from its limit.
// The error is the reply: 550 5.7.1, 450 4.7.1, or 552 for a declared size that no waiting would let through.
func (p *Policy) Mail(ctx context.Context, acct auth.Account, from string, opts *smtp.MailOptions) (*Transaction, error) {
	if from != "" && !maySendAs(acct, from) {
		return nil, notTheAccounts(acct, from)
	}
	t := &Transaction{policy: p, account: acct, from: from}
	if opts != nil && opts.Size > 0 {
		if err := t.check(limit.Bytes, opts.Size); err != nil {
			return nil, err
		}
	}
	if err := t.take(limit.Messages, 1); err != nil {
		return nil, err
	}
	return t, nil
}

// Rcpt asks whether the transaction may have one more recipient, and takes one from the limit. The error is the reply.
func (t *Transaction) Rcpt(ctx context.Context, to string, opts *smtp.RcptOptions) error {
	if err := t.policy.checkRecipient(to); err != nil {
		return err
	}
	if err := t.take(limit.Recipients, 1); err != nil {
		return err
	}
	t.to = append(t.to, to)
	return nil
}

func (t *Transaction) check(k limit.Kind, n int64) error {
	if t.policy.Limits == nil {
		return nil
	}
	return t.stopped(k, t.policy.Limits.Check(t.counted(), t.account.Class, k, n))
}

func (t *Transaction) take(k limit.Kind, n int64) error {
	if t.policy.Limits == nil {
		return nil
	}
	taken, err := t.policy.Limits.Take(t.counted(), t.account.Class, k, n)
	if err != nil {
		return t.stopped(k, err)
	}
	t.taken = append(t.taken, taken)
	return nil
}

// counted is in whose name the limits count: the account's, or the device's if it has limits of its own. No account has a name with a blank.
func (t *Transaction) counted() string {
	if t.account.OwnLimits {
		return t.account.Name + " " + t.account.Device
	}
	return t.account.Name
}

// stopped counts the refusal of a limit, and puts the device in front of one that is its own. nil is none.
func (t *Transaction) stopped(k limit.Kind, err error) error {
	if err != nil {
		t.policy.count().limited[k].Inc()
	}
	if refusal, ok := errors.AsType[*smtp.SMTPError](err); ok && t.account.OwnLimits {
		refusal.Message = "device " + quoted(t.account.Device) + ": " + refusal.Message
	}
	return err
}

// Accept keeps what the transaction took from the limits: the message has been queued.
func (t *Transaction) Accept() { t.taken = nil }

// Cancel gives back what the transaction took, once.
func (t *Transaction) Cancel() {
	for _, taken := range t.taken {
		t.policy.Limits.Return(taken)
	}
	t.taken = nil
}

// checkRecipient asks for a domain that mail can be sent to (RFC 6409 §6.2). A bare postmaster is this server's
// (RFC 5321 §4.1.1.3).
func (p *Policy) checkRecipient(to string) error {
	i := strings.LastIndexByte(to, '@')
	if i < 0 {
		if strings.EqualFold(to, "postmaster") {
			return nil
		}
		return refuse(550, smtp.EnhancedCode{5, 1, 3}, "%s has no domain; write user@example.org", quoted(to))
	}
	domain := to[i+1:]
	switch {
	case p.AllowLiterals:
		return nil
	case strings.HasPrefix(domain, "["):
		return refuse(550, smtp.EnhancedCode{5, 1, 3}, "%s: mail to an address literal is not relayed here; write the domain", quoted(to))
	case !strings.Contains(strings.Trim(domain, "."), "."):
		return refuse(550, smtp.EnhancedCode{5, 1, 2}, "%s: the domain is not complete; write it whole, as in user@example.org", quoted(to))
	case !validDomain(domain):
		return refuse(550, smtp.EnhancedCode{5, 1, 2}, "%s: that is not a domain that mail can be sent to", quoted(to))
	}
	return nil
}

func refuse(code int, enhanced smtp.EnhancedCode, format string, args ...any) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: fmt.Sprintf(format, args...)}
}
