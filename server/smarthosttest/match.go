package smarthosttest

import (
	"fmt"
	"slices"
	"strings"
)

// A Match says which messages are meant. All matches that a method is given must hold. The zero Match holds for every message.
type Match struct {
	text string                // the match in words
	why  func(*Message) string // why a message does not match; "" if it does
}

// That makes a match of a function; what says in an error what was looked for.
func That(what string, is func(*Message) bool) Match {
	return Match{what, func(m *Message) string {
		if is(m) {
			return ""
		}
		return "is not " + what
	}}
}

// String is the match in words.
func (x Match) String() string {
	if x.why == nil {
		return "any message"
	}
	return x.text
}

// Why says why a message does not match: `Subject is "Welcome"`. It is "" for one that does.
func (x Match) Why(m *Message) string {
	if x.why == nil {
		return ""
	}
	return x.why(m)
}

// To matches messages with a recipient like this in the envelope: "bob@example.net", or a pattern with * for any octets, in any case of letters.
func To(pattern string) Match {
	return Match{"to " + pattern, func(m *Message) string {
		to := make([]string, len(m.Envelope.Recipients))
		for i, r := range m.Envelope.Recipients {
			if like(pattern, r.Address) {
				return ""
			}
			to[i] = r.Address
		}
		return fmt.Sprintf("recipients are <%s>", strings.Join(clipped(to), ">, <"))
	}}
}

// From matches messages with a reverse-path like this in the envelope; see [To] for patterns.
func From(pattern string) Match {
	return Match{"from " + pattern, func(m *Message) string {
		return unless(like(pattern, m.Envelope.From), "reverse-path is <%s>", m.Envelope.From)
	}}
}

// By matches messages of a user.
func By(user string) Match {
	user = folded(user)
	return Match{"by user " + user, func(m *Message) string { return unless(m.User == user, "user is %q", m.User) }}
}

// ID matches the message that this id was told for.
func ID(id string) Match {
	return Match{"id " + id, func(m *Message) string { return unless(m.ID == id, "id is %s", m.ID) }}
}

// In matches messages of one session.
func In(session string) Match {
	return Match{"in session " + session, func(m *Message) string { return unless(m.Session == session, "session is %s", m.Session) }}
}

// Subject matches messages with this subject, decoded, octet for octet.
func Subject(s string) Match {
	return Match{fmt.Sprintf("Subject %q", s), func(m *Message) string { return unless(m.Subject() == s, "Subject is %q", clip(m.Subject())) }}
}

// SubjectContains matches messages that have s in their subject, decoded, with the same case of letters.
func SubjectContains(s string) Match {
	return Match{fmt.Sprintf("Subject with %q", s), func(m *Message) string {
		return unless(strings.Contains(m.Subject(), s), "Subject is %q", clip(m.Subject()))
	}}
}

// BodyContains matches messages that have s, with the same case of letters, in their text, in the source of their HTML, or in what a reader sees of that.
func BodyContains(s string) Match {
	return Match{fmt.Sprintf("body with %q", s), func(m *Message) string {
		root := m.Root()
		text, source := root.text(), root.html()
		if strings.Contains(text, s) || strings.Contains(source, s) || strings.Contains(visible(source), s) {
			return ""
		}
		if text == "" {
			text = visible(source)
		}
		return fmt.Sprintf("body is %q", clip(text))
	}}
}

// Header matches messages with a field of this name whose value, decoded, is like the pattern; see [To] for patterns. "" fits all.
func Header(name, pattern string) Match {
	return Match{fmt.Sprintf("field %s: %s", name, pattern), func(m *Message) string {
		values := m.Headers().All(name)
		if slices.ContainsFunc(values, func(v string) bool { return like(pattern, v) }) {
			return ""
		}
		if len(values) == 0 {
			return fmt.Sprintf("there is no field %s", name)
		}
		return fmt.Sprintf("%s is %q", name, clip(strings.Join(values, ", ")))
	}}
}

// And matches what all of these match.
func And(all ...Match) Match {
	return Match{words(all, " and "), func(m *Message) string { return why(m, all) }}
}

// Or matches what one of these matches. Without any, it matches nothing.
func Or(any ...Match) Match {
	return Match{words(any, " or "), func(m *Message) string {
		if slices.ContainsFunc(any, func(x Match) bool { return x.Why(m) == "" }) {
			return ""
		}
		if len(any) == 0 {
			return "there is nothing to match"
		}
		return why(m, any)
	}}
}

// Not matches what x does not match.
func Not(x Match) Match {
	return Match{"not " + x.quoted(), func(m *Message) string { return unless(x.Why(m) != "", "matches %s", x) }}
}

// quoted is the match as a part of a longer one.
func (x Match) quoted() string { return "(" + x.String() + ")" }

// words joins the matches' words.
func words(of []Match, with string) string {
	if len(of) == 1 {
		return of[0].String()
	}
	texts := make([]string, len(of))
	for i, x := range of {
		texts[i] = x.quoted()
	}
	return strings.Join(texts, with)
}

func matches(m *Message, all []Match) bool {
	return !slices.ContainsFunc(all, func(x Match) bool { return x.Why(m) != "" })
}

// why says why a message does not match them all; "" if it does.
func why(m *Message, all []Match) string {
	var reasons []string
	for _, x := range all {
		if r := x.Why(m); r != "" {
			reasons = append(reasons, r)
		}
	}
	return strings.Join(reasons, "; ")
}

func unless(ok bool, format string, args ...any) string {
	if ok {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

const (
	clipAt    = 120 // octets of a value that an error shows
	clipItems = 10  // values
)

// clip shortens what an error shows of a message.
func clip(s string) string {
	if len(s) <= clipAt {
		return s
	}
	return strings.ToValidUTF8(s[:clipAt], "") + " …"
}

func clipped(list []string) []string {
	if len(list) <= clipItems {
		return list
	}
	return append(slices.Clone(list[:clipItems]), "…")
}

// like tells whether s fits the pattern, in which * stands for any octets. "" fits all.
func like(pattern, s string) bool {
	if pattern == "" {
		return true
	}
	parts := strings.Split(strings.ToLower(pattern), "*")
	s = strings.ToLower(s)
	if len(parts) == 1 {
		return s == parts[0]
	}
	s, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		if _, s, ok = strings.Cut(s, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(s, parts[last])
}
