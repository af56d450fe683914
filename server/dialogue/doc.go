// Package dialogue plays the files that say what a submission server must say: the suite that the server passes and its test double too. Each begins
// with a comment that names the rule and the items of the checklist that it shows.
//
//	C: text            the client sends a line
//	S: pattern         the next line must match the regular expression from end to end
//	@connect [addr]    a new connection to the door with STARTTLS, from an address (192.0.2.1 if none is given)
//	@tls [addr]        the same at the door with implicit TLS, handshake included
//	@starttls          STARTTLS, its 220 and the handshake
//	@ehlo name         EHLO and its whole reply, which must be 250
//	@login user [dev]  AUTH PLAIN with the right password, of the account or of one of its devices
//	@refused user [dev]: pattern   the same, and the reply must match
//	@raw "octets"      sends Go-quoted octets as they are
//	@repeat N "octets" sends them N times
//	@hears "octets"    these octets, whatever they are, are what comes next
//	@bytewise "octets" sends them one at a time
//	@close             the client goes away
//	@eof               the server must have ended the connection, in TLS with close_notify
//	@keywords          the reply to EHLO must be well-formed
//	@config key=value  changes the settings
//	@wait duration     lets time pass
//	@auth down|up      the accounts cannot be reached, or can
//	@device user name  the user has a device of that name, see accounts.change for what may follow
//	@limits CLASS=N/D  so many messages for each account of the class
//	@spool full|broken|failing|ok   storage: no space, Create fails, Commit fails, or well
//	@certificate none|ok
//	@queued N          so many messages are kept
//	@kept "octets"     stand in the newest message
//	@lacks "octets"    do not
//	@ends "octets"     end it
//	@recipient "addr"  is a recipient of the newest message
//	@recipients N      sends so many RCPTs and expects 250 to each
//	@fail N            sends so many AUTHs with a wrong password and expects a refusal of each
//	@size N            the server takes messages of so many octets; holds for the whole dialogue
//	@gone              the server must have ended the connection in whatever way
//	@log "octets"      stand in the log
//	@counted sample    stands in the metrics
//	@loglines          each line of the log is one JSON object
//	@silent "octets"   do not
package dialogue
