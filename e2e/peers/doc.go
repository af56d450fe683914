// Package peers tests the real binary against real clients, real servers and real accidents: Debian's Postfix with Dovecot
// SASL, swaks, curl and Python's smtplib, kills, full disks, thousands of connections. It has no code of its own.
//
// The tests have the build tag e2e and need root on Debian; e2e/run installs what they need and runs them. A tool that is missing
// fails them. They run in namespaces of their own (package lab), so that ports 25 and 53 are free, nothing is sent to anyone
// else, and nothing stays behind.
package peers
