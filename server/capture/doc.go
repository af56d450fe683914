// Package capture serves over HTTP what a test double of package smarthosttest has been sent: an API for tests in any language, the part of
// Mailpit's API that its client libraries use, and pages for people.
//
// It promises:
//   - What one user has sent, its sessions, rules and limits can be asked for alone: each route that is about mail is there a second time below
//     /inbox/{user}/, so that tests that run at the same time do not meet. A client that takes a base URL needs no more than that.
//   - Nothing polls: a request with wait= is answered when the mail is there, and /events tells what happens.
//   - The native routes only tell. Those of Mailpit mark a message as read, as Mailpit does.
//   - Parameters and fields that are not known are faults, and so is what is larger than a limit. Every fault of the native routes is
//     {"error": what happened, "do": what to do next}.
//   - HTML of mail is shown in a frame of an origin of its own, where no script runs and from where nothing is asked of others, see pagehtml.go.
//   - A page of a foreign site reaches nothing: see gate.go. Whoever else reaches the listener may do everything, for there is nothing here but
//     the mail of tests; it belongs on loopback, or in a network of containers.
//
// openapi.json describes the native routes. There is no TLS and no login.
package capture
