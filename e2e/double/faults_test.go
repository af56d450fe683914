//go:build e2e

package double

import (
	"slices"
	"strconv"
	"time"

	. "github.com/seed-1397b510/smarthost/server/smarthosttest" // rules read like sentences
)

// A fault is what the double does to a client.
type fault struct {
	name  string
	rules []Rule
	again bool   // the client is called a second time: it has to succeed then
	both  bool   // the mail has a second recipient
	id    string // Message-ID of the mail, see target
	races bool   // it depends on who is faster in which words a client fails
	hole  bool   // the server's name has an IPv6 address that takes nothing and refuses nothing
}

const (
	short = 300 * time.Millisecond // a delay that everybody waits for
	piece = 20 * time.Millisecond
)

var faults = slices.Concat(
	[]fault{{name: "none"}},
	replies(Banner, 421, 554),
	replies(EHLO, 421, 502),
	replies(STARTTLS, 454, 502),
	replies(AUTH, 454, 535),
	replies(MAIL, 451, 550),
	replies(RCPT, 450, 550),
	replies(DATA, 451, 554),
	replies(Content, 451, 552),
	replies(QUIT, 421),
	ends("drop", Rule.Drop, Accept, Handshake, AUTH, RCPT, Content, QUIT),
	ends("RST", Rule.Reset, EHLO, Handshake, DATA),
	ends("half-close", Rule.HalfClose, Banner, MAIL),
	ends("stall", Rule.Stall, Banner, Handshake, AUTH, Content, QUIT),
	[]fault{
		{name: "slow server", rules: SlowServer(short)},
		{name: "trickle at ehlo", rules: []Rule{On(EHLO).Trickle(9, piece)}},
		{name: "throttle", rules: []Rule{On(Banner).Throttle(20_000)}},
		{name: "garbage at banner", rules: []Rule{On(Banner).Garbage([]byte("\x00\xff\x16 what?\r\n"))}},
		{name: "garbage at rcpt", rules: []Rule{On(RCPT).Garbage([]byte("\x00\xff\x16 what?\r\n"))}},
		{name: "STARTTLS hidden", rules: StrippedSTARTTLS()},
		{name: "AUTH hidden", rules: []Rule{On(EHLO).Hide("AUTH")}},
	},
	certificates(Expired, NotYetValid, WrongName, UnknownCA, SelfSigned, MissingIntermediate, OldTLS),
	[]fault{
		{name: "TLS alert", rules: []Rule{On(Handshake).Alert(80)}},
		{name: "accepted, then 451", rules: DuplicateTrap(), again: true},
		{name: "accepted, then 451, same Message-ID", rules: DuplicateTrap(), again: true, id: "reset-1@example.com"},
		{name: "dies after DATA", rules: DiesAfterDATA(), again: true},
		{name: "greylisting", rules: Greylisting("bob@*", 1), again: true},
		{name: "overload", rules: Overload(1), again: true},
		{name: "outage", rules: Outage(time.Hour), races: true},
		{name: "full mailbox", rules: FullMailbox("bob@*"), both: true},
		{name: "rate limit", rules: RateLimit("app", 0)},
		{name: "IPv6 black hole", hole: true},
	},
)

// replies are one fault for each code.
func replies(at Stage, codes ...int) (all []fault) {
	for _, code := range codes {
		enhanced := strconv.Itoa(code/100) + ".3.0"
		all = append(all, fault{name: string(at) + " " + strconv.Itoa(code), rules: []Rule{On(at).Reply(code, enhanced, "The test wants it so")}})
	}
	return all
}

// ends are one fault for each place at which the connection ends in this way.
func ends(way string, end func(Rule) Rule, places ...Stage) (all []fault) {
	for _, at := range places {
		all = append(all, fault{name: way + " at " + string(at), rules: []Rule{end(On(at))}})
	}
	return all
}

func certificates(kinds ...Certificate) (all []fault) {
	for _, kind := range kinds {
		all = append(all, fault{name: "certificate " + string(kind), rules: BadCertificate(kind)})
	}
	return all
}
