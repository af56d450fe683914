// Package reload changes config, certificate and accounts of the real binary a thousand times while clients send, as signals, mounted
// secrets and editors do, and stops it: no session is cut, no mail is lost or doubled, and what is broken is told.
//
// The tests have the build tag e2e and need root on Debian; e2e/run runs them, in namespaces of their own (package lab).
package reload
