// Package web is what the operator's pages and those of the test server have in common: who reaches a route, how faults are told, what a
// caller can take up, and how pages look.
//
// It promises:
//   - A page of a foreign site reaches nothing behind a Gate, neither by DNS rebinding nor across origins.
//   - No answer is stored, guessed at or put into somebody else's page, unless who answers says so.
//   - Everything that is read has a limit, and so has the time that it may take.
//   - Every fault of an API is {"error": what happened, "do": what to do next}, and holds no cause that is ours.
//
// It knows neither logins nor mail. What differs between its users they say in fields.
package web
