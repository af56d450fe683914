package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/policy"
	"github.com/seed-1397b510/smarthost/server/guard"
)

// commitTimeout is how long storage may take at the final dot, where clients wait ten minutes (RFC 5321 §4.5.3.2.6).
const commitTimeout = 2 * time.Minute

// buffers are for copying content.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// errStorage marks what the spool returned, so that it is told apart from what the client or the policy did.
type errStorage struct{ error }

func (e errStorage) Unwrap() error { return e.error }

// Data receives a message, whether it comes by DATA or BDAT, and answers for it from its 250 on (RFC 5321 §4.1.1.4, §4.2.5). The content is read
// from the guard and not from go-smtp, which cannot tell a message that was cut off from a whole one.
func (s *session) Data(io.Reader) error {
	if s.transaction.policy == nil {
		return s.fault("DATA", s.words().noTransaction())
	}
	if len(s.recipients) == 0 {
		return s.fault("DATA", s.words().noRecipients())
	}
	envelope := s.envelope()
	sealed, err := s.receive(envelope)
	var duplicate *spool.Duplicate
	storage, inStorage := errors.AsType[errStorage](err)
	switch {
	case err == nil:
		s.server.metrics.took(envelope, sealed.Size)
		s.logMessage(envelope).Int64("size", sealed.Size).Str("message_id", bounded(sealed.MessageID)).Msg("queued")
		return s.words().queued(envelope.ID)
	case errors.As(err, &duplicate):
		s.server.metrics.duplicates.Inc()
		s.logMessage(envelope).Str("first", duplicate.ID).Msg("duplicate")
		return s.words().alreadyQueued(duplicate.ID)
	case errors.Is(err, guard.ErrCut), errors.Is(err, guard.ErrReset):
		s.server.metrics.brokenOff(err)
		s.logMessage(envelope).Str("stage", "DATA").Str("cause", err.Error()).Msg("refused")
		return s.words().notStored() // nobody is there to read it
	case inStorage:
		reply := s.words().notStored()
		if errors.Is(err, spool.ErrFull) {
			reply = s.words().full()
		}
		s.logMessage(envelope).Str("stage", "DATA").Int("code", reply.Code).AnErr("cause", storage.error).Msg("refused")
		s.tell("DATA", reply, s.from)
		return reply
	}
	return s.fault("DATA", err)
}

// envelope is what SMTP said about the message.
func (s *session) envelope() *spool.Envelope {
	return &spool.Envelope{
		ID:         spool.NewID(),
		Session:    s.conn.Session(),
		Account:    s.client.account.Name,
		Device:     s.client.account.Device,
		From:       s.from,
		Recipients: s.recipients,
		Return:     s.options.Return,
		EnvelopeID: s.options.EnvelopeID,
		Body:       s.options.Body,
		UTF8:       s.options.UTF8,
		RequireTLS: s.options.RequireTLS,
	}
}

// receive takes the content through the policy into the spool. When it returns nil the message survives a power cut; on any error nothing is kept.
func (s *session) receive(envelope *spool.Envelope) (policy.Sealed, error) {
	s.logMessage(envelope).Msg("accepted")
	draft, err := s.server.Spool.Create(s.conn.Context(), envelope)
	if err != nil {
		return policy.Sealed{}, errStorage{err}
	}
	defer draft.Abort()
	content := s.transaction.policy.Data(s.conn.Context(), s.trace(envelope), s.conn.Content())
	defer content.Cancel()
	if err := copyContent(draft, content); err != nil {
		return policy.Sealed{}, err
	}
	sealed, err := content.Finish()
	if err != nil {
		return policy.Sealed{}, err
	}
	// A session could hold a transaction open for as long as it likes, and send its message long after its login was revoked.
	if refusal := s.loginLapsed(); refusal != nil {
		return policy.Sealed{}, refusal
	}
	seal := spool.Seal{Top: sealed.Top, Arrived: time.Now(), MessageID: sealed.MessageID, Cut: cuts(sealed)}
	seal.Patience, s.began = patience(seal.Arrived.Sub(s.began)), time.Time{}
	if window := s.server.current().DuplicateWindow; window > 0 {
		seal.Key, seal.Window = sealed.Key, window
	}
	// The client has ended its message. Should its connection break now, the message is kept all the same, and
	// the duplicate guard answers when it comes again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.conn.Context()), commitTimeout)
	defer cancel()
	begin := time.Now()
	err = draft.Commit(ctx, seal)
	s.server.metrics.commit.Observe(time.Since(begin).Seconds())
	if err != nil {
		return policy.Sealed{}, errStorage{err}
	}
	content.Accept()
	return sealed, nil
}

// mostPatience is well below what anybody notices.
const mostPatience = 4 * time.Millisecond

// patience is how long a commit may wait for others when the client has spent that much time on its message: no message takes
// more than a quarter longer, while many clients at once, who wait for the processor, share the work.
func patience(spent time.Duration) time.Duration { return min(spent/4, mostPatience) }

// copyContent copies src to its end into dst.
func copyContent(dst spool.Draft, src io.Reader) error {
	buffer := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buffer)
	for {
		n, err := src.Read(buffer[:])
		if n > 0 {
			if _, err := dst.Write(buffer[:n]); err != nil {
				return errStorage{err}
			}
		}
		if err == io.EOF { // nothing but io.EOF itself ends a message
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func cuts(sealed policy.Sealed) []spool.Range {
	ranges := make([]spool.Range, len(sealed.Cut))
	for i, r := range sealed.Cut {
		ranges[i] = spool.Range(r)
	}
	return ranges
}

// trace is what goes into Received (RFC 5321 §4.4).
func (s *session) trace(envelope *spool.Envelope) policy.Trace {
	trace := policy.Trace{
		ID: envelope.ID, Hello: s.core.Hostname(), Addr: s.conn.Addr(), Device: envelope.Device, With: "ESMTPSA", To: make([]string, len(s.recipients)),
	}
	if s.options.UTF8 {
		trace.With = "UTF8SMTPSA" // RFC 6531 §4.3
	}
	if state := s.conn.TLS(); state != nil {
		trace.TLS = tls.VersionName(state.Version) + " " + suiteName(state.CipherSuite)
	}
	for i, r := range s.recipients {
		trace.To[i] = r.Address
	}
	return trace
}

// suiteName is tls.CipherSuiteName, which makes its list anew at each call.
func suiteName(id uint16) string {
	if name, ok := suites()[id]; ok {
		return name
	}
	return tls.CipherSuiteName(id)
}

var suites = sync.OnceValue(func() map[uint16]string {
	names := map[uint16]string{}
	for _, s := range tls.CipherSuites() {
		names[s.ID] = s.Name
	}
	return names
})

// logMessage begins an event in a message's life.
func (s *session) logMessage(envelope *spool.Envelope) *zerolog.Event {
	return s.client.log.Info().Str("msg", envelope.ID).Str("from", bounded(envelope.From)).Int("recipients", len(envelope.Recipients))
}
