// Package fleet is the laptops: Debian's mail programs, each on a machine of its own with its own root file system and network,
// send through the real binary while something goes wrong for a moment, and what becomes of the mail is written down as a
// table (client × trouble), which is the one of the README.
//
// The troubles are made for real and from outside of both programs: with nftables, with a clock that is wrong, with files,
// signals and cut connections. The tests have the build tag e2e and need root on Debian; e2e/run installs what they need,
// the laptops' root file systems included (e2e/roots). One test needs neither tag nor root: that README.md
// shows what testdata/matrix.golden says. -update writes both anew.
package fleet
