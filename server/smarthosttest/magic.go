package smarthosttest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Magic recipients ask for a fault by their local parts, for those who test a program through its forms and have no other say. They act where no
// rule does, and a part behind + is theirs to choose:
//
//	reject-550@example.com      is refused with 550, or another code of 4xx or 5xx
//	defer-451-2@example.com     is refused with 451 twice, and then taken; each address is counted for itself
//	slow-5s@example.com         is answered after 5 s
//	drop-data@example.com       ends the connection at DATA; so do drop-rcpt, and drop-content after the final dot
type magic struct {
	on       bool
	deferred map[string]int // how often an address was refused
}

const (
	magicAddresses = 10_000 // that are counted; beyond it all begin anew
	magicDelay     = time.Hour
)

// rule is the rule that a recipient asks for at this stage, nil if there is none.
func (m *magic) rule(f facts) *Rule {
	if !m.on {
		return nil
	}
	for _, to := range f.to {
		r, times := magicRule(to)
		if r == nil || r.on != f.stage {
			continue
		}
		if times > 0 && !m.count(strings.ToLower(to), times) {
			continue
		}
		return r
	}
	return nil
}

// count tells whether the address is refused once more.
func (m *magic) count(address string, times int) bool {
	if m.deferred == nil || len(m.deferred) >= magicAddresses {
		m.deferred = map[string]int{}
	}
	if m.deferred[address] >= times {
		return false
	}
	m.deferred[address]++
	return true
}

// magicRule is what an address asks for, and how often; 0 is always.
func magicRule(address string) (rule *Rule, times int) {
	local := address[:max(0, strings.LastIndexByte(address, '@'))]
	local, _, _ = strings.Cut(strings.ToLower(local), "+")
	word, argument, _ := strings.Cut(local, "-")
	r := On(RCPT)
	switch word {
	case "reject":
		r = r.refusing(argument)
	case "defer":
		code, n, _ := strings.Cut(argument, "-")
		times, _ = strconv.Atoi(n)
		if r = r.refusing(code); times < 1 || code[0] != '4' {
			return nil, 0
		}
	case "slow":
		d, err := time.ParseDuration(argument)
		if err != nil || d > magicDelay {
			return nil, 0
		}
		r = r.Delay(d)
	case "drop":
		r = On(Stage(argument)).Drop()
		if !slices.Contains([]Stage{RCPT, DATA, Content}, r.on) {
			return nil, 0
		}
	}
	if r.Validate() != nil {
		return nil, 0
	}
	return &r, times
}

// magicCodes are the enhanced codes (RFC 3463) that servers say with a reply code most often.
var magicCodes = map[int]string{450: "4.2.1", 451: "4.7.1", 452: "4.2.2", 550: "5.1.1", 552: "5.2.2", 553: "5.1.3", 554: "5.7.1"}

// refusing is the rule with a reply of this code; it is not valid if there is no such.
func (r Rule) refusing(code string) Rule {
	n, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 {
		return r
	}
	enhanced, ok := magicCodes[n]
	if !ok {
		enhanced = fmt.Sprintf("%d.0.0", n/100)
	}
	return r.Reply(n, enhanced, "As this address asks for")
}
