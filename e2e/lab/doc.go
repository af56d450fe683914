// Package lab is the place in which the end-to-end tests are run: namespaces of the test program's own, machines in them with
// network and root file system, an authority, a DNS server, next hops, Debian's Postfix, and the binary under test. It has no code
// of the product.
//
// Its parts have the build tag e2e and need root on Debian; e2e/run installs what they use.
package lab
