// Package userfile keeps accounts in a text file, one login a line:
//
//	# name:hash, as htpasswd -B writes it, and what the account may do
//	alice:$2y$11$…
//	alice:$2y$04$…:device=laptop sender=alice@example.org sender=*@alice.example.org
//	printer:$2y$04$…:class=bulk sender=printer@example.org
//
// Several lines of one name are several devices of one account. The file is edited by hand, by `smarthost user`, or mounted
// as a secret; it is read again when it changes. A damaged line is reported and left out, the others work. A file that
// cannot be read any more leaves the last one in force.
package userfile
