// Package double puts mail clients that others wrote in front of the test double, server/smarthosttest: what each of them does at each of its faults, and
// what the double has then seen, is a table that is held to testdata/matrix.golden and shown in deploy/testing/CLIENTS.md. Debian's Postfix and the double
// are led through the same dialogues. A program of somebody else's, e2e/testdata/outsider, is tested with the double as its author would.
//
// What has the build tag e2e needs root on Debian and the root file systems of e2e/roots. That the page shows what the golden file says, and
// the outsider, need neither. -update writes golden file and page anew.
package double
