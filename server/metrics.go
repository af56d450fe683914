package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/server/guard"
)

// Why a reply was temporary though the client was refused: the label of smarthost_grace_replies_total.
const (
	graceTLS         = "tls"
	graceLogin       = "login"
	graceAccount     = "account"
	graceLapsed      = "lapsed"
	graceUnavailable = "unavailable"
	graceDefer       = "defer"
)

// Which limit turned a connection away: the label of smarthost_connections_refused_total.
const (
	turnedAddress = "address"
	turnedAll     = "all"
)

// Why there was no message though its content had begun: the label of smarthost_messages_cut_total.
const (
	cutReset  = "reset"
	cutSilent = "silent"
	cutSlow   = "slow"
	cutLost   = "lost"
)

// metrics counts what happens at the doors. Nothing of a client's gets into a label.
type metrics struct {
	accepted   prometheus.Counter
	turnedAway *prometheus.CounterVec
	starved    prometheus.Counter
	violations *prometheus.CounterVec
	shaken     *prometheus.CounterVec
	tlsFailed  map[string]prometheus.Counter
	replies    map[string]*[6]prometheus.Counter // by verb, then by the first digit of the code
	refusals   *prometheus.CounterVec
	grace      *prometheus.CounterVec
	messages   prometheus.Counter
	octets     prometheus.Counter
	recipients prometheus.Counter
	duplicates prometheus.Counter
	cut        *prometheus.CounterVec
	commit     prometheus.Histogram
}

var tlsReasonNames = map[string]string{
	tlsTimedOut:    "timeout",
	tlsClosed:      "closed",
	tlsCertificate: "certificate",
	tlsVersion:     "version",
	tlsNotSpoken:   "not_tls",
	tlsFailed:      "other",
}

var replyVerbs = []string{"", "EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "AUTH", "STARTTLS", "VRFY", "HELP", "EXPN"}

// newMetrics registers all of them with r; with nil they are counted and shown nowhere.
func (s *Server) newMetrics(r prometheus.Registerer) *metrics {
	auto := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return auto.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	auto.NewGaugeFunc(prometheus.GaugeOpts{Name: "smarthost_connections", Help: "Connections of clients that are open."},
		func() float64 { return float64(s.Connections()) })
	m := &metrics{
		accepted:   counter("smarthost_connections_total", "Connections of clients that were let in."),
		turnedAway: vector("smarthost_connections_refused_total", "Connections turned away because there were too many, by reason: of one address, or in all.", "reason"),
		starved:    counter("smarthost_starved_total", "Times that nobody could be let in for want of file descriptors or memory; counted once a minute for each listener."),
		violations: vector("smarthost_protocol_violations_total", "Times that a client broke the protocol in a way that is no mere error, by what it did.", "what"),
		shaken:     vector("smarthost_tls_handshakes_total", "TLS handshakes with clients that were completed, by version.", "version"),
		refusals:   vector("smarthost_refusals_total", "Refusals by stage, code and enhanced status code: who was told no, or later.", "stage", "code", "status"),
		grace: vector("smarthost_grace_replies_total",
			"Refusals that let the client keep its mail where most servers make it bounce, by cause: tls (its TLS had just failed), login (one that was right before), account (missing for a moment), lapsed (the login was revoked), unavailable (the accounts did not answer) or defer (the config says so).", "cause"),
		messages:   counter("smarthost_messages_total", "Messages that were taken: on disk, and answered 250."),
		octets:     counter("smarthost_message_bytes_total", "Octets of the messages that were taken."),
		recipients: counter("smarthost_message_recipients_total", "Recipients of the messages that were taken."),
		duplicates: counter("smarthost_duplicates_total", "Messages sent again that were answered 250 and not queued twice."),
		cut: vector("smarthost_messages_cut_total",
			"Messages that were broken off before their end, by reason: reset (the client took it back), silent or slow (it was waited for too long, or was ten minutes behind 50 octets a second), or lost (the connection ended in another way).", "reason"),
		commit: auto.NewHistogram(prometheus.HistogramOpts{Name: "smarthost_commit_seconds",
			Help:    "How long it takes from a message's final dot to its being on disk, or to the fault.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .1, .5, 2.5, 10}}),
		tlsFailed: map[string]prometheus.Counter{},
		replies:   map[string]*[6]prometheus.Counter{},
	}
	failed := vector("smarthost_tls_failures_total", "TLS with clients that came to nothing, by reason: timeout, closed, certificate (the client refuses it), version, not_tls or other.", "reason")
	for words, name := range tlsReasonNames {
		m.tlsFailed[words] = failed.WithLabelValues(name)
	}
	replies := vector("smarthost_replies_total", "Replies by the command that they answer and the first digit of their code; other stands for the greeting and for commands that are not known.", "verb", "class")
	for _, verb := range replyVerbs {
		m.replies[verb] = new([6]prometheus.Counter)
		for class := 2; class < 6; class++ {
			m.replies[verb][class] = replies.WithLabelValues(verbLabel(verb), string(rune('0'+class)))
		}
	}
	m.begin()
	return m
}

// begin makes what alarms look at begin at 0, for an increase from nothing to one is none.
func (m *metrics) begin() {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		m.shaken.WithLabelValues(versionLabel(version))
	}
	for _, cause := range []string{graceTLS, graceLogin, graceAccount, graceLapsed, graceUnavailable, graceDefer} {
		m.grace.WithLabelValues(cause)
	}
	for _, l := range [][]string{{"MAIL", "530", "5.7.0"}, {"MAIL", "451", "4.7.0"}, {"AUTH", "535", "5.7.8"}, {"AUTH", "454", "4.7.0"},
		{"DATA", "452", "4.3.1"}, {"DATA", "451", "4.3.0"}} {
		m.refusals.WithLabelValues(l...)
	}
	for _, reason := range []string{turnedAddress, turnedAll} {
		m.turnedAway.WithLabelValues(reason)
	}
	for _, reason := range []string{cutReset, cutSilent, cutSlow, cutLost} {
		m.cut.WithLabelValues(reason)
	}
	m.violations.WithLabelValues("HTTP request")
}

func verbLabel(verb string) string {
	if verb == "" {
		return "other"
	}
	return verb
}

// versionLabel is "1.2" or "1.3".
func versionLabel(version uint16) string {
	const prefix = "TLS "
	name := tls.VersionName(version)
	return name[min(len(prefix), len(name)):]
}

// spared counts a refusal that lets the client keep its mail; "" is none.
func (m *metrics) spared(cause string) {
	if cause != "" {
		m.grace.WithLabelValues(cause).Inc()
	}
}

// took counts a message that is on disk.
func (m *metrics) took(e *spool.Envelope, size int64) {
	m.messages.Inc()
	m.octets.Add(float64(size))
	m.recipients.Add(float64(len(e.Recipients)))
}

// brokenOff counts a message that has no end; err is what the guard's Content gave.
func (m *metrics) brokenOff(err error) {
	reason := cutLost
	switch {
	case errors.Is(err, guard.ErrReset):
		reason = cutReset
	case errors.Is(err, guard.ErrSilent):
		reason = cutSilent
	case errors.Is(err, guard.ErrSlow):
		reason = cutSlow
	}
	m.cut.WithLabelValues(reason).Inc()
}

// turned counts a connection that was turned away: the guard says by the status that the server is busy as a whole.
func (m *metrics) turned(reply *smtp.SMTPError) {
	reason := turnedAddress
	if reply != nil && reply.EnhancedCode == (smtp.EnhancedCode{4, 3, 2}) {
		reason = turnedAll
	}
	m.turnedAway.WithLabelValues(reason).Inc()
}

// refused counts a refusal.
func (m *metrics) refused(stage string, reply *smtp.SMTPError) {
	status := reply.EnhancedCode
	m.refusals.WithLabelValues(stage, strconv.Itoa(reply.Code), fmt.Sprintf("%d.%d.%d", status[0], status[1], status[2])).Inc()
}

// replied is the guard's hook.
func (s *Server) replied(c *guard.Conn, verb, code string) {
	if cl, ok := c.User.(*client); ok && cl.probe {
		return
	}
	classes, ok := s.metrics.replies[verb]
	if class := int(code[0] - '0'); ok && class >= 2 && class < len(classes) {
		classes[class].Inc()
	}
}
