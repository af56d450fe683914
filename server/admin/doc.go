// Package admin is the operator's side of a running server: its health, its state, and what can be done to it, as JSON over HTTP.
//
// It promises:
//   - Health is looked at, not remembered: /readyz connects to the server's own doors and writes to its disk, at most as often as each
//     check says, and a check that hangs is a failure after its time and never holds up the answer for longer.
//   - A door is trusted, so that whoever can open it may do everything (a Unix socket), or every request but those for health needs a token
//     (RFC 6750) with the scope that the route names.
//   - A page of a foreign site reaches nothing: the Host must be a name of this server or an address (DNS rebinding needs a name), a
//     foreign Origin is refused, and so are changes across sites.
//   - Every change, done or refused, is one line of the log: who, what, to what.
//   - Answers hold neither passwords, tokens nor hashes, but the one password that is made by the request, and no content of mail.
//     Every fault is {"error": what happened, "do": what to do next}.
//
// What it tells about and acts upon it is handed as functions and interfaces that are declared here. openapi.json describes all routes.
// It leaves out TLS: a door that is open to a network belongs behind a proxy that has it.
package admin
