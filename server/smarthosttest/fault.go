package smarthosttest

import (
	"net"
	"strconv"

	"github.com/seed-1397b510/smarthost/server/guard"
)

// act does what the rule for this place says, if there is one. nil: the server goes on.
func (o *observer) act(f facts) *guard.Answer {
	if rule := o.rule(f); rule != nil {
		return o.do(&rule.do, f.stage)
	}
	return nil
}

// rule is the rule for this place, and in the transcript.
func (o *observer) rule(f facts) *Rule {
	rule := o.server.scripts.next(f)
	if rule != nil {
		o.note(Event{Dir: Noted, Kind: KindFault, Line: "rule on " + string(f.stage) + ": " + inJSON(rule.do.json())}, nil)
	}
	return rule
}

// do does it.
func (o *observer) do(a *action, at Stage) *guard.Answer {
	if a.throttle > 0 {
		o.speed = a.throttle
	}
	if a.delay > 0 {
		o.conn.Flush()
		pause(o.server.ctx, a.delay)
	}
	if a.throttle > 0 || a.trickle.octets > 0 {
		o.conn.Flush()
		o.trickling = a.trickle.octets > 0
		o.socket.pace(o.speed, a.trickle)
	}
	o.hide = a.hide
	answer := o.answer(a)
	switch {
	case answer == nil:
	case at == Banner && a.reply != nil:
		answer.Close = true // who is greeted so is not served (RFC 5321 §3.1)
	case at == Handshake && (answer.Close || answer.End != nil):
		o.afterHello(answer)
	}
	if a.stored {
		o.instead, answer = answer, nil // when the server has said yes
	}
	return answer
}

// answer is what a rule says and does in the server's place, nil if it leaves that to the server.
func (o *observer) answer(a *action) *guard.Answer {
	answer := &guard.Answer{Raw: a.garbage}
	if r := a.reply; r != nil {
		line := strconv.Itoa(r.code) + " "
		if r.enhanced != "" {
			line += r.enhanced + " "
		}
		answer.Reply = []string{line + r.text}
	}
	switch {
	case a.certificate != "":
		answer.TLS = o.server.badTLS(a.certificate)
	case a.alert >= 0:
		answer.Raw = append(answer.Raw, 21, 3, 3, 0, 2, 2, byte(a.alert)) // a fatal alert in a record of its own, RFC 8446 §5.1 and §6
		answer.Close = true
	}
	switch a.end {
	case drop:
		answer.End = func(net.Conn) { o.socket.Conn.Close() }
	case reset:
		answer.End = func(net.Conn) { o.socket.Reset() }
	case stall:
		answer.End = func(net.Conn) { o.socket.hold() }
	case halfClose:
		answer.End = func(net.Conn) {
			o.socket.CloseWrite()
			o.socket.hold()
		}
	}
	if answer.Reply == nil && answer.Raw == nil && answer.TLS == nil && answer.End == nil && !answer.Close {
		return nil
	}
	return answer
}

// afterHello puts the end of a handshake off until the client has begun it. Before that the client would take an alert for a part of the reply to
// STARTTLS, and it would be by chance whether it meets an end of the connection or a reset.
func (o *observer) afterHello(a *guard.Answer) {
	alert, end := a.Raw, a.End
	a.Raw, a.Close = nil, false
	a.End = func(c net.Conn) {
		o.socket.hello()
		if len(alert) > 0 {
			o.note(Event{Dir: Served, Kind: KindFault, Line: strconv.QuoteToASCII(string(alert))}, nil)
			o.socket.Write(alert)
		}
		if end == nil {
			o.socket.Conn.Close()
			return
		}
		end(c)
	}
}

// say writes down what an answer says.
func (o *observer) say(a *guard.Answer) {
	if a == nil {
		return
	}
	for _, line := range a.Reply {
		o.note(Event{Dir: Served, Kind: KindReply, Line: line}, nil)
	}
	if len(a.Raw) > 0 {
		o.note(Event{Dir: Served, Kind: KindFault, Line: strconv.QuoteToASCII(string(a.Raw))}, nil)
	}
}
