// Package doctor runs "smarthost doctor HOST" on a laptop against real servers, ours and Debian's Exim and Postfix, as they
// are and with the faults that people meet. What it finds is in testdata, one script for each server.
//
// The tests have the build tag e2e and need root on Debian; e2e/run installs what they need, Exim's root file system included.
package doctor
