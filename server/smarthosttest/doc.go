// Package smarthosttest is a submission server for the tests of programs that send mail, in the manner of net/http/httptest.
//
//	func TestReset(t *testing.T) {
//		srv := smarthosttest.NewServer(t, smarthosttest.WithUser(smarthosttest.User{Name: "app", Password: "secret", Senders: []string{"*@example.com"}}))
//		app := start(t, srv.Env("app")...) // the program under test
//		app.ForgotPassword("bob@example.net")
//		m, err := srv.WaitFor(t.Context(), smarthosttest.To("bob@example.net"))
//		…
//	}
//
// # What it promises
//
//   - It is the production engine: package server with its guard, logins, policy and limits, and the same words in every reply. It is as strict:
//     STARTTLS before AUTH, AUTH before MAIL, senders that are the user's. Nothing is taken from strangers. The replies that are made here are
//     those that a [Rule] asks for, and no other.
//   - A message is there when its 250 is: after a client's send has returned, Messages has it. What has to be waited for is waited for
//     without polling.
//   - Octets are kept as they were sent, Bcc fields included, dot-stuffing undone. What SMTP said stands beside them and not in them, and so does what
//     the server would have put on top.
//   - Every session has a transcript of both sides, TLS or not, at the end of which stands why it ended. Passwords are not in it.
//   - A user is an inbox: messages, sessions, rules and limits can be asked for, and set, for one user alone, so that tests that run at the same
//     time share a server and do not meet. See [Server.Inbox].
//   - Nothing is left behind: Close returns when no goroutine runs any more, and the test's cleanup calls it.
//   - With [InMemory] there is no socket and no wait but for the clock, so that all of it works inside a testing/synctest bubble, where an hour of a
//     rate limit passes at once.
//
// # Faults
//
// A [Rule] says where in a session something goes wrong, for whom, how often, and how: a reply, a delay, a lost connection, a slow one, garbage,
// keywords left out, a certificate that a client must not take, a message that is stored and denied. [Server.Script] puts rules in force and fails the
// test if they are not met; [Greylisting], [Outage], [DiesAfterDATA] and others are made already. A rule acts where the engine would have gone on,
// and whatever it refuses by itself it refuses with a rule too. [Server.Break] breaks what the engine stands on, and the words are the engine's.
//
// [Server.Lint] tells what a provider would hold against the client, with the RFC's section.
//
// # What it leaves out
//
// Nothing is relayed. There is no POP3, IMAP or DNS, and no DKIM is checked.
//
// It builds with the engine alone: no database, no pages, and not package testing either, because the command "smarthost test" serves what is here to programs in
// other languages. [TB] stands for *testing.T.
package smarthosttest
