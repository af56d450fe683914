package smarthosttest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// every is a rule that does all that a rule can do, as far as one can.
var every = []Rule{
	On(RCPT).User("app").From("*@a.example").To("bob@*").Skip(1).Times(2).Delay(200*time.Millisecond).Reply(451, "4.7.1", "greylisted").Garbage([]byte{0, 255}),
	On(MAIL).Probability(0.5).For(time.Minute).Reply(450, "", "no"),
	On(EHLO).Hide("STARTTLS", "SIZE").Optional().Trickle(3, time.Second),
	On(Handshake).Certificate(SelfSigned).Throttle(100),
	On(Handshake).Alert(0),
	On(Content).AcceptThenReply(451, "4.3.0", "x").HalfClose(),
	On(Accept).Reset(), On(Banner).Stall(), On(QUIT).Drop(),
}

func TestRulesInJSON(t *testing.T) {
	t.Parallel()
	for _, rule := range every {
		if err := rule.Validate(); err != nil {
			t.Error(err)
		}
		var back Rule
		if err := json.Unmarshal([]byte(rule.String()), &back); err != nil || !reflect.DeepEqual(rule, back) {
			t.Errorf("%s came back as %s, %v", rule, back, err)
		}
	}
	const brief = `{"on":"rcpt","to":"bob@*","user":"app","skip":0,"times":2,"do":{"reply":[451,"4.7.1","greylisted"],"delay":"200ms"}}`
	want := On(RCPT).To("bob@*").User("app").Times(2).Reply(451, "4.7.1", "greylisted").Delay(200 * time.Millisecond)
	if got := rules(t, brief)[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %s", got)
	}
}

func TestRulesThatAreNone(t *testing.T) {
	t.Parallel()
	for text, fault := range map[string]string{
		`{"on":"rcpt","too":"x","do":{"end":"drop"}}`: "unknown field",
		`{"on":"rcpt"}`:                                                                 "it does nothing",
		`{"on":"lunch","do":{"end":"drop"}}`:                                            "no such stage",
		`{"on":"banner","user":"app","do":{"end":"drop"}}`:                              "a user is known",
		`{"on":"auth","from":"a@b","do":{"end":"drop"}}`:                                "a sender is known",
		`{"on":"mail","to":"a@b","do":{"end":"drop"}}`:                                  "a recipient is known",
		`{"on":"mail","times":-1,"do":{"end":"drop"}}`:                                  "must not be negative",
		`{"on":"mail","probability":2,"do":{"end":"drop"}}`:                             "from 0 to 1",
		`{"on":"mail","do":{"end":"slowly"}}`:                                           "must be one of",
		`{"on":"mail","do":{"delay":3}}`:                                                "is no duration",
		`{"on":"mail","do":{"delay":"long"}}`:                                           "is no duration",
		`{"on":"mail","do":{"delay":"-1s"}}`:                                            "must not be negative",
		`{"on":"mail","do":{"reply":[250,"2.0.0","yes"]}}`:                              "400 to 599",
		`{"on":"mail","do":{"reply":[451,"5.0.0","no"]}}`:                               "write 4.x.y",
		`{"on":"mail","do":{"reply":[451,"4.0","no"]}}`:                                 "write 4.x.y",
		`{"on":"mail","do":{"reply":[451,"4.0.0","no\r\n250 yes"]}}`:                    "printable ASCII",
		`{"on":"mail","do":{"reply":[451,"4.0.0"]}}`:                                    `write [451,"4.7.1","text"]`,
		`{"on":"mail","do":{"reply":["451","4.0.0","no"]}}`:                             `write [451,"4.7.1","text"]`,
		`{"on":"accept","do":{"reply":[451,"4.0.0","no"]}}`:                             "nobody hears",
		`{"on":"mail","do":{"hide":["SIZE"]}}`:                                          "hidden at ehlo",
		`{"on":"mail","do":{"certificate":"expired"}}`:                                  "shown at handshake",
		`{"on":"handshake","do":{"certificate":"green"}}`:                               "must be one of",
		`{"on":"mail","do":{"alert":1}}`:                                                "sent at handshake",
		`{"on":"handshake","do":{"alert":-1}}`:                                          "0 to 255",
		`{"on":"handshake","do":{"alert":256}}`:                                         "0 to 255",
		`{"on":"mail","do":{"stored":true,"end":"drop"}}`:                               "stored at content",
		`{"on":"content","do":{"stored":true}}`:                                         "needs a reply or an end",
		`{"on":"mail","do":{"trickle":{"octets":0,"every":"1s"}}}`:                      "both above 0",
		`{"on":"mail","do":{"throttle":-1}}`:                                            "must not be negative",
		`[]`:                                                                            "rule: ",
		`{"on":"mail","do":{"reply":[451,"4.0.0","` + strings.Repeat("x", 401) + `"]}}`: "at most 400",
	} {
		var r Rule
		if err := json.Unmarshal([]byte(text), &r); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: got %v, want %q", text, err, fault)
		}
	}
}

func FuzzRule(f *testing.F) {
	for _, r := range every {
		f.Add(r.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r, again Rule
		if json.Unmarshal([]byte(text), &r) != nil {
			return
		}
		if err := json.Unmarshal([]byte(r.String()), &again); err != nil || r.String() != again.String() {
			t.Errorf("%s came back as %s, %v", r, again, err)
		}
	})
}

func TestCertificatesNobodyMustTake(t *testing.T) {
	t.Parallel()
	s := NewServer(t, InMemory())
	for kind, want := range map[Certificate]func(error) bool{
		Expired: func(err error) bool { return invalid(err) == x509.Expired && strings.Contains(err.Error(), "is after") },
		NotYetValid: func(err error) bool {
			return invalid(err) == x509.Expired && strings.Contains(err.Error(), "is before")
		},
		WrongName:           isA[x509.HostnameError],
		UnknownCA:           isA[x509.UnknownAuthorityError],
		SelfSigned:          isA[x509.UnknownAuthorityError],
		MissingIntermediate: isA[x509.UnknownAuthorityError],
		OldTLS:              func(err error) bool { return strings.Contains(err.Error(), "protocol version") },
	} {
		s.Script(BadCertificate(kind)[0].Times(1))
		conn, err := s.DialContext(t.Context(), "tcp", s.TLSAddr)
		if err != nil {
			t.Fatal(err)
		}
		if err := tls.Client(conn, s.ClientTLS()).HandshakeContext(t.Context()); err == nil || !want(err) {
			t.Errorf("%s: %T %v", kind, err, err)
		}
		conn.Close()
	}
	if err := send(t, s, "app", "app@example.com", []string{"bob@example.net"}, letter); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func invalid(err error) x509.InvalidReason {
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return e.Reason
	}
	return -1
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func TestSeedDecides(t *testing.T) {
	t.Parallel()
	draw := func(seed uint64) (acted []bool) {
		of := scripts{seed: seed, rules: []*scripted{{Rule: On(MAIL).Probability(0.5).Drop()}}}
		for range 64 {
			acted = append(acted, of.next(facts{stage: MAIL}) != nil)
		}
		return acted
	}
	if !slices.Equal(draw(7), draw(7)) || slices.Equal(draw(7), draw(8)) {
		t.Error("the seed does not decide")
	}
	if one := draw(7); !slices.Contains(one, true) || !slices.Contains(one, false) {
		t.Error("one half is all or nothing")
	}
}
