package smarthosttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ruleJSON is a rule in JSON.
type ruleJSON struct {
	On          Stage      `json:"on"`
	User        string     `json:"user,omitempty"`
	From        string     `json:"from,omitempty"`
	To          string     `json:"to,omitempty"`
	Skip        int        `json:"skip,omitempty"`
	Times       int        `json:"times,omitempty"`
	Probability float64    `json:"probability,omitempty"`
	For         duration   `json:"for,omitempty"`
	Optional    bool       `json:"optional,omitempty"`
	Do          actionJSON `json:"do"`
}

type actionJSON struct {
	Delay       duration     `json:"delay,omitempty"`
	Reply       *replyJSON   `json:"reply,omitempty"`
	Garbage     []byte       `json:"garbage,omitempty"` // base64
	Stored      bool         `json:"stored,omitempty"`
	Hide        []string     `json:"hide,omitempty"`
	Certificate Certificate  `json:"certificate,omitempty"`
	Alert       *int         `json:"alert,omitempty"`
	Trickle     *trickleJSON `json:"trickle,omitempty"`
	Throttle    int          `json:"throttle,omitempty"` // octets per second
	End         end          `json:"end,omitempty"`
}

type trickleJSON struct {
	Octets int      `json:"octets"`
	Every  duration `json:"every"`
}

// replyJSON is [451,"4.7.1","greylisted"].
type replyJSON reply

// MarshalJSON implements json.Marshaler.
func (r replyJSON) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{r.code, r.enhanced, r.text})
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *replyJSON) UnmarshalJSON(b []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(b, &parts); err != nil || len(parts) != 3 {
		return fmt.Errorf(`reply is %s; write [451,"4.7.1","text"]`, b)
	}
	for i, to := range []any{&r.code, &r.enhanced, &r.text} {
		if err := json.Unmarshal(parts[i], to); err != nil {
			return fmt.Errorf(`reply is %s; write [451,"4.7.1","text"]`, b)
		}
	}
	return nil
}

// duration is "200ms".
type duration time.Duration

// MarshalJSON implements json.Marshaler.
func (d duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON implements json.Unmarshaler.
func (d *duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf(`%s is no duration; write "200ms"`, b)
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf(`%q is no duration; write "200ms"`, text)
	}
	*d = duration(parsed)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (r Rule) MarshalJSON() ([]byte, error) {
	return json.Marshal(ruleJSON{
		On: r.on, User: r.user, From: r.from, To: r.to, Skip: r.skip, Times: r.times, Probability: r.probability, For: duration(r.within),
		Optional: r.optional, Do: r.do.json(),
	})
}

func (a action) json() actionJSON {
	of := actionJSON{
		Delay: duration(a.delay), Reply: (*replyJSON)(a.reply), Garbage: a.garbage, Stored: a.stored, Hide: a.hide,
		Certificate: a.certificate, Throttle: a.throttle, End: a.end,
	}
	if a.alert >= 0 {
		of.Alert = &a.alert
	}
	if a.trickle != (trickle{}) {
		of.Trickle = &trickleJSON{a.trickle.octets, duration(a.trickle.every)}
	}
	return of
}

// UnmarshalJSON implements json.Unmarshaler. A key that is not known and a rule that is not valid are errors.
func (r *Rule) UnmarshalJSON(b []byte) error {
	of := ruleJSON{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&of); err != nil {
		return fmt.Errorf("rule: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("rule: there is something behind it")
	}
	rule := Rule{
		on: of.On, user: of.User, from: of.From, to: of.To, skip: of.Skip, times: of.Times, probability: of.Probability, within: time.Duration(of.For),
		optional: of.Optional || of.Probability > 0,
		do: action{
			delay: time.Duration(of.Do.Delay), reply: (*reply)(of.Do.Reply), garbage: of.Do.Garbage, stored: of.Do.Stored, hide: of.Do.Hide,
			certificate: of.Do.Certificate, alert: -1, throttle: of.Do.Throttle, end: of.Do.End,
		},
	}
	if of.Do.Alert != nil {
		rule.do.alert = *of.Do.Alert
		if rule.do.alert < 0 {
			return fmt.Errorf("rule: alert is %d; must be 0 to 255", rule.do.alert)
		}
	}
	if t := of.Do.Trickle; t != nil {
		rule.do.trickle = trickle{t.Octets, time.Duration(t.Every)}
	}
	if err := rule.Validate(); err != nil {
		return err
	}
	*r = rule
	return nil
}

var (
	enhancedForm = regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}$`) // RFC 3463 §2
	stages       = []Stage{Accept, Banner, EHLO, STARTTLS, Handshake, AUTH, MAIL, RCPT, DATA, Content, RSET, QUIT}
	ends         = []end{"", drop, reset, halfClose, stall}
	certificates = []Certificate{"", Expired, NotYetValid, WrongName, UnknownCA, SelfSigned, MissingIntermediate, OldTLS}
)

const maxReplyText = 400 // octets of a rule's text

// Validate names all faults.
func (r Rule) Validate() error {
	var faults []error
	fault := func(is bool, format string, args ...any) {
		if is {
			faults = append(faults, fmt.Errorf("rule on %q: "+format, append([]any{string(r.on)}, args...)...))
		}
	}
	fault(!slices.Contains(stages, r.on), "no such stage; there are %q", stages)
	fault(r.user != "" && slices.Contains([]Stage{Accept, Banner, EHLO, STARTTLS, Handshake}, r.on), "a user is known at auth and after it")
	fault(r.from != "" && !slices.Contains([]Stage{MAIL, RCPT, DATA, Content}, r.on), "a sender is known at mail, rcpt, data and content")
	fault(r.to != "" && !slices.Contains([]Stage{RCPT, DATA, Content}, r.on), "a recipient is known at rcpt, data and content")
	fault(r.skip < 0 || r.times < 0 || r.within < 0, "skip, times and for must not be negative")
	fault(!(r.probability >= 0 && r.probability <= 1), "probability is %g; must be from 0 to 1", r.probability)
	faults = append(faults, r.do.validate(r.on)...)
	return errors.Join(faults...)
}

// validate names all faults of what a rule does at a stage.
func (a action) validate(on Stage) []error {
	var faults []error
	fault := func(is bool, format string, args ...any) {
		if is {
			faults = append(faults, fmt.Errorf("rule on %q: "+format, append([]any{string(on)}, args...)...))
		}
	}
	fault(a.idle(), "it does nothing")
	fault(a.delay < 0, "delay must not be negative")
	fault(!slices.Contains(ends, a.end), "end is %q; must be one of %q", a.end, ends[1:])
	fault(!slices.Contains(certificates, a.certificate), "certificate is %q; must be one of %q", a.certificate, certificates[1:])
	fault(a.certificate != "" && on != Handshake, "a certificate is shown at handshake")
	fault(a.alert > 255, "alert is %d; must be 0 to 255", a.alert)
	fault(a.alert >= 0 && on != Handshake, "an alert is sent at handshake")
	fault(len(a.hide) > 0 && on != EHLO, "keywords are hidden at ehlo")
	fault(a.stored && on != Content, "a message is stored at content")
	fault(a.stored && a.reply == nil && a.end == "", "a message that is stored needs a reply or an end")
	fault(a.throttle < 0, "throttle must not be negative")
	fault(a.trickle != (trickle{}) && (a.trickle.octets < 1 || a.trickle.every <= 0), "trickle needs octets and every, both above 0")
	if r := a.reply; r != nil {
		fault(on == Accept || on == Handshake, "nobody hears a reply there")
		fault(r.code < 400 || r.code > 599, "the code is %d; must be 400 to 599, for the server itself says yes", r.code)
		fault(r.enhanced != "" && (!enhancedForm.MatchString(r.enhanced) || int(r.enhanced[0]-'0') != r.code/100), "the enhanced code is %q; with %d write %d.x.y", r.enhanced, r.code, r.code/100)
		fault(len(r.text) > maxReplyText || strings.ContainsFunc(r.text, func(c rune) bool { return c < ' ' || c > '~' }), "the text must be printable ASCII, at most %d octets", maxReplyText)
	}
	return faults
}

// idle tells that nothing would be done.
func (a action) idle() bool {
	return a.delay == 0 && a.reply == nil && len(a.garbage) == 0 && !a.stored && len(a.hide) == 0 && a.certificate == "" && a.alert < 0 &&
		a.trickle == (trickle{}) && a.throttle == 0 && a.end == ""
}
