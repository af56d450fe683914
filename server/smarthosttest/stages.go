package smarthosttest

import (
	"slices"
	"strings"

	"github.com/seed-1397b510/smarthost/server/guard"
)

// atCommand asks the rules about a command that the engine would take. One that it refuses for its order or its form is the engine's.
func (o *observer) atCommand(m guard.Moment) *guard.Answer {
	o.verb, o.path = m.Verb, ""
	argument := ""
	if i := strings.IndexByte(string(m.Line), ' '); i >= 0 {
		argument = strings.TrimLeft(string(m.Line[i:]), " ")
	}
	secure := o.conn.Secure()
	f := facts{user: o.user, from: o.from, to: o.to}
	switch m.Verb {
	case "EHLO", "HELO":
		f = facts{stage: EHLO}
	case "STARTTLS":
		if !secure && argument == "" {
			f = facts{stage: STARTTLS}
		}
	case "MAIL":
		if path, ok := pathIn(argument, "FROM:"); ok && o.user != "" && !o.began {
			f.stage, f.from = MAIL, path
			o.path = path
		}
	case "RCPT":
		if path, ok := pathIn(argument, "TO:"); ok && o.began {
			f.stage, f.to = RCPT, []string{path}
			o.path = path
		}
	case "DATA", "BDAT":
		if len(o.to) > 0 && (m.Verb == "BDAT" || argument == "") {
			f.stage = DATA
		}
	case "RSET":
		f.stage = RSET
	case "QUIT":
		f.stage = QUIT
	}
	if f.stage == "" {
		return nil
	}
	return o.act(f)
}

// content asks the rules about a message that has come whole.
func (o *observer) content() *guard.Answer {
	answer := o.act(facts{stage: Content, user: o.user, from: o.from, to: o.to})
	o.verb, o.began, o.from, o.to = "", false, "", nil
	return answer
}

// transact learns from the engine's reply what has become of the command at hand.
func (o *observer) transact(code string) {
	yes := code[0] == '2'
	switch o.verb {
	case "MAIL":
		if yes {
			o.began, o.from, o.to = true, o.path, nil
		}
	case "RCPT":
		if yes {
			o.to = append(slices.Clip(o.to), o.path)
		}
	case "DATA", "BDAT": // 354 and the replies to chunks change nothing
		if code[0] >= '4' && len(o.to) > 0 {
			o.began, o.from, o.to = false, "", nil
		}
	case "RSET", "EHLO", "HELO":
		if yes {
			o.began, o.from, o.to = false, "", nil
		}
	}
}

// pathIn is the address in the argument of MAIL or RCPT (RFC 5321 §4.1.2).
func pathIn(argument, word string) (string, bool) {
	if len(argument) < len(word) || !strings.EqualFold(argument[:len(word)], word) {
		return "", false
	}
	path, _, err := guard.ParsePath(strings.TrimLeft(argument[len(word):], " "))
	return path.String(), err == nil
}
