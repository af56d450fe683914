package smarthosttest

import "time"

// The scripts that most tests want, for Script and AddRules. What they do can be read in one line each, and written with other figures.

// Greylisting refuses the first n recipients that fit the pattern for the moment; "" is any. A client sends again, after a while, and to those alone.
func Greylisting(to string, n int) []Rule {
	return []Rule{On(RCPT).To(to).Times(n).Reply(451, "4.7.1", "Greylisted, try again later")}
}

// FullMailbox refuses one recipient, whenever it is tried. The others of the message are taken.
func FullMailbox(to string) []Rule {
	return []Rule{On(RCPT).To(to).Reply(452, "4.2.2", "Mailbox full")}
}

// RateLimit lets a user send n messages, and refuses the next ones for the moment. User.Limit does this with a clock.
func RateLimit(user string, n int) []Rule {
	return []Rule{On(MAIL).User(user).Skip(n).Reply(450, "4.7.1", "Too many messages, slow down")}
}

// Outage resets all connections that come within d from now.
func Outage(d time.Duration) []Rule { return []Rule{On(Accept).For(d).Reset()} }

// Overload greets the next n connections with 421, as a server does that sheds load.
func Overload(n int) []Rule {
	return []Rule{On(Banner).Times(n).Reply(421, "4.3.2", "Too many connections, try again later")}
}

// StrippedSTARTTLS leaves STARTTLS out of what is offered, as somebody in between would who wants to read along. A client must not go on
// in clear (RFC 8314 §4.1).
func StrippedSTARTTLS() []Rule { return []Rule{On(EHLO).Hide("STARTTLS")} }

// BadCertificate shows a certificate that a client must not take.
func BadCertificate(c Certificate) []Rule { return []Rule{On(Handshake).Certificate(c)} }

// SlowServer waits for d before it greets, before it takes a sender, and before it answers for a message.
func SlowServer(d time.Duration) []Rule {
	return []Rule{On(Banner).Delay(d), On(MAIL).Delay(d), On(Content).Delay(d)}
}

// DiesAfterDATA stores the next message, and ends the connection before its 250. A client has to send it again, and when the message is
// the same, Message-ID included, there is one of it.
func DiesAfterDATA() []Rule { return []Rule{On(Content).Times(1).Stored().Drop()} }

// DuplicateTrap stores the next message, and says that it could not. A client has to send it again, see DiesAfterDATA.
func DuplicateTrap() []Rule {
	return []Rule{On(Content).Times(1).AcceptThenReply(451, "4.3.0", "Trouble on this server, try again later")}
}
