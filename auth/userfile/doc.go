// Package userfile keeps accounts in a text file, one login a line:
//
//	# name:hash, as htpasswd -B writes it, and what the account may do
//	alice:$2y$11$…
//	alice:$2y$04$…:device=laptop sender=alice@example.org sender=*@alice.example.org tag=x7k2mq
//	alice:$2y$04$…:device=phone expires=2027-01-31 network=192.0.2.0/24 network=2001:db8::/32
//	printer:$2y$04$…:class=bulk sender=printer@example.org
//
// Several lines of one name are several devices of one account. A device without senders or class has those of the account's line
// without a device. expires is a day, to its end in UTC, or a time as in RFC 3339; tag is the beginning of a generated password, by
// which it is found among many: leave it out beside any other hash. The file is edited by hand, by `smarthost user`, or mounted
// as a secret; it is read again when it changes. A damaged line is reported and left out, the others work; only devices that would have
// senders or class from it wait (454) until it is mended. A file that cannot be read any more, or of which
// no line is an account, leaves the last one in force.
package userfile
