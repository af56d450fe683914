package smarthosttest

import (
	"slices"
	"strings"
)

// A Match says which messages are meant. All matches that a method is given must hold.
type Match func(*Message) bool

// To matches messages with a recipient like this in the envelope: "bob@example.net", or a pattern with * for any octets, in any case of letters.
func To(pattern string) Match {
	return func(m *Message) bool {
		for _, r := range m.Envelope.Recipients {
			if like(pattern, r.Address) {
				return true
			}
		}
		return false
	}
}

// From matches messages with a reverse-path like this in the envelope; see [To] for patterns.
func From(pattern string) Match {
	return func(m *Message) bool { return like(pattern, m.Envelope.From) }
}

// By matches messages of a user.
func By(user string) Match {
	user = folded(user)
	return func(m *Message) bool { return m.User == user }
}

// ID matches the message that this id was told for.
func ID(id string) Match {
	return func(m *Message) bool { return m.ID == id }
}

// In matches messages of one session.
func In(session string) Match {
	return func(m *Message) bool { return m.Session == session }
}

func matches(m *Message, all []Match) bool {
	return !slices.ContainsFunc(all, func(is Match) bool { return !is(m) })
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
