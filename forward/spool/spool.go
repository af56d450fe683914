package spool

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/emersion/go-smtp"
)

// An Envelope is what SMTP said about a message, as opposed to what stands in it. It does not change after Commit.
type Envelope struct {
	ID         string // NewID(); told to the client in the 250
	Session    string // id of the SMTP session that brought it; "" for reports
	Account    string // name of the account that sent it; "" for reports
	Device     string
	From       string // reverse-path without angle brackets, quoted local part kept; "" is the null reverse-path
	Recipients []Recipient
	Return     smtp.DSNReturn // RET (RFC 3461 §4.3); "" = not given
	EnvelopeID string         // ENVID, decoded (RFC 3461 §4.4)
	Body       smtp.BodyType  // BODY (RFC 6152); "" = not given
	UTF8       bool           // SMTPUTF8 (RFC 6531)
	RequireTLS bool           // REQUIRETLS (RFC 8689)
	Arrived    time.Time      // when the server had read it all
	Size       int64          // octets of the content, Top included; set by the store
	Parent     string         // for a report: the id of the message that it speaks of
}

// A Recipient is one forward-path with its DSN parameters (RFC 3461 §4.1, §4.2) and the destination that it belongs to.
type Recipient struct {
	Address      string              // forward-path without angle brackets, quoted local part kept
	Destination  string              // what groups recipients into deliveries: the domain (A-labels, lower case), or "relay"
	Notify       []smtp.DSNNotify    // empty = not given
	OriginalType smtp.DSNAddressType // ORCPT's address type; "" = not given
	Original     string              // ORCPT, decoded
}

// A Delivery is the queue's unit: one message for one destination, leased to whoever holds it.
type Delivery struct {
	Envelope              // Recipients: only those of this destination that are still undone
	Destination string    // see Recipient.Destination
	Attempts    int       // how many times it has been settled as "again"
	Delayed     bool      // a delay report has been sent for it (RFC 3461 §4.1)
	Relay       Relay     // where it goes in place of its route; "" = its route
	Fate        Fate      // what an operator has ordered: settled at once and not tried; "" = nothing
	Fence       int64     // grows with each claim; a Settle with an old one is refused
	Until       time.Time // when the lease ends and others may claim it
}

// A Result is what became of one recipient in one attempt. The reply's code says all:
// 2xx is delivered, 5xx is failed for good, 4xx means again later.
type Result struct {
	Address string // Recipient.Address
	Hop     string // host and address that answered, for people; "" if none did
	Reply   smtp.SMTPError
}

// Unreached tells that no hop has said anything: the reply is our own and temporary, and about the network or the route (RFC 3463 §3.5), or the
// TLS that did not come about (§3.8, X.7.5).
func (r *Result) Unreached() bool {
	e := r.Reply.EnhancedCode
	return r.Hop == "" && r.Reply.Code/100 == 4 && (e[1] == 4 || e == smtp.EnhancedCode{4, 7, 5})
}

// A Report is a message of our own about a delivery (a DSN), queued in the same transaction that settles the delivery.
// Its Envelope.ID is derived from the delivery's, so that a repeated Settle after a crash makes no second one:
// a store that has that id already leaves the report out in silence.
type Report struct {
	Envelope Envelope
	Content  []byte // the whole message, CRLF lines
}

// A Settlement ends a lease.
type Settlement struct {
	Delivery Delivery
	Results  []Result  // one for each recipient tried; recipients without one stay as they are
	Next     time.Time // when what stays undone is due again
	Delayed  bool      // a delay report goes out with this settlement
	Reports  []Report
	Tries    []Try // for the history: how the results came about; none = the results are all there is
}

// A Seal is what is known of a message only when all of it has been read.
type Seal struct {
	Top       []byte        // header fields that go on top of what was written, CRLF lines
	Arrived   time.Time     // becomes Envelope.Arrived
	MessageID string        // of the header, for Trace; "" = there is none
	Key       []byte        // identifies a message sent twice; nil = do not look for a duplicate
	Window    time.Duration // how long Key is remembered
	Patience  time.Duration // how long the commit may wait for others that share its sync, as it is the cheaper for all of them then
	Cut       []Range       // spans of the written content to leave out (Bcc fields), ascending, not overlapping; within the first 1 MiB
}

// A Range is a span of octets [From, To) of what was written to a Draft.
type Range struct{ From, To int64 }

// A Draft is a message that is still being received. It is used by one goroutine.
// Small bodies are held in memory, larger ones in a temporary file, so that a draft never needs more than about 128 KiB.
type Draft interface {
	// Write appends content. An error is final: the draft can only be aborted.
	// errors.Is(err, ErrFull) tells that there is no space.
	io.Writer
	// Commit makes the message durable: when it returns nil the message survives a power cut.
	// *Duplicate: the same message is already queued or was sent within the window; nothing was kept.
	// Of such a message those recipients are kept whom an operator took out meanwhile (Remove, Return), if there are any.
	// Any other error: nothing was kept.
	Commit(ctx context.Context, seal Seal) error
	// Abort forgets the draft. After Commit it does nothing, so that it can be deferred.
	Abort() error
}

// A Query asks for deliveries to work on.
type Query struct {
	Max   int           // how many at most, at least 1
	Lease time.Duration // how long the caller may keep them; Extend prolongs
	Skip  []string      // destinations that are busy enough
	// SkipAccounts are accounts that are busy enough at these destinations, or everywhere if none is named. The name "" is that of reports.
	SkipAccounts map[string][]string
}

// Busy tells whether an account is to be skipped at a destination.
func (q *Query) Busy(account, destination string) bool {
	at, ok := q.SkipAccounts[account]
	return ok && (len(at) == 0 || slices.Contains(at, destination))
}

// An Entry is one delivery as the queue's listing shows it.
type Entry struct {
	Envelope    // Recipients: those still undone
	Destination string
	State       State
	Attempts    int
	Due         time.Time         // next attempt; for leased ones the end of the lease
	Last        map[string]Result // by recipient address: the last result; missing if never tried
	Relay       Relay             // see Delivery
	Fate        Fate              // see Delivery
}

// State is the state of a delivery, see the package's table.
type State string

// The states that a listing can show.
const (
	Queued  State = "queued"
	Leased  State = "leased"
	Waiting State = "waiting"
	Held    State = "held"
	Damaged State = "damaged"
)

// Stats counts deliveries by state, and messages.
type Stats struct {
	Messages int
	Bytes    int64
	ByState  map[State]int
	Oldest   time.Time // arrival of the oldest message; zero if there is none
}

// A Store keeps accepted mail until it has been handed on. All methods may be called at the same time from any goroutine.
// Delivery is at least once: a crash between the next hop's 250 and Settle delivers again.
type Store interface {
	// Create begins a message. ctx ends with the connection that brings it.
	// errors.Is(err, ErrFull): there is no space for more mail now.
	Create(ctx context.Context, e *Envelope) (Draft, error)
	// Claim blocks until at least one delivery is due that is not to be skipped, leases up to q.Max of them and returns them, oldest due first.
	// What is skipped does not hold up the rest, however much it is.
	Claim(ctx context.Context, q Query) ([]Delivery, error)
	// Extend prolongs a lease to d from now. ErrFenced: the lease was lost.
	Extend(ctx context.Context, d Delivery, lease time.Duration) error
	// Release gives a lease back untouched: due at once, no attempt counted. ErrFenced: the lease was lost.
	Release(ctx context.Context, d Delivery) error
	// Body opens the content of a message (Seal.Top and what was written, less Seal.Cut). ErrNotFound if there is none.
	// ErrDamaged (from Body or Read) if its checksum is wrong: the delivery is then set aside by Damage.
	Body(ctx context.Context, id string) (io.ReadCloser, error)
	// Settle records results and ends the lease, in one transaction with the reports. The last settled recipient takes message and body with it.
	// ErrFenced: the lease was lost, nothing was recorded.
	Settle(ctx context.Context, s Settlement) error
	// Damage sets a message aside as damaged: never claimed, listed, never deleted.
	Damage(ctx context.Context, id string, cause string) error
	// List yields deliveries in the order of their ids.
	List(ctx context.Context, f Filter) iter.Seq2[Entry, error]
	// Stats counts.
	Stats(ctx context.Context) (Stats, error)

	// Change carries an order out, in pieces, each of which is durable when it is counted: an error or the end of ctx leaves
	// what is done done, and the outcome tells it. Mail that comes in meanwhile may be changed or not. progress, if there is one, is called after each piece.
	Change(ctx context.Context, o Order, progress func(Outcome)) (Outcome, error)
	// AddRule holds new mail from now on. A rule needs an account, a sender or a destination.
	AddRule(ctx context.Context, r Rule) (Rule, error)
	// RemoveRule ends a rule. ErrNotFound if there is none with this id.
	RemoveRule(ctx context.Context, id int64) error
	// Rules lists the rules in the order of their ids.
	Rules(ctx context.Context) ([]Rule, error)
	// Trace tells the stories that key is part of: an id, a Message-ID, or the address of a sender or recipient (in any case of its letters);
	// newest first, at most limit. None is no error. Of messages that have ended it knows what the history still has.
	Trace(ctx context.Context, key string, limit int) ([]Story, error)
}

// Errors that a Store returns, to be asked for with errors.Is.
var (
	ErrFull     = errors.New("spool: no space left for mail")
	ErrFenced   = errors.New("spool: the lease was lost")
	ErrNotFound = errors.New("spool: no such message")
	ErrDamaged  = errors.New("spool: content is damaged")
)

// Duplicate is Commit's error for a message that was already accepted (see Seal.Key).
type Duplicate struct {
	ID string // of the message that is kept, or was
}

func (d *Duplicate) Error() string { return "spool: already queued as " + d.ID }
