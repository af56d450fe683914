package guard

import "bytes"

// verb is a command's name; verbNone one that is not known.
type verb uint8

const (
	verbNone verb = iota
	verbEHLO
	verbHELO
	verbMAIL
	verbRCPT
	verbDATA
	verbBDAT
	verbRSET
	verbNOOP
	verbQUIT
	verbAUTH
	verbSTARTTLS
	verbVRFY
	verbHELP
	verbEXPN
	verbOther // known, and not done here: RFC 821, 1985
	verbHTTP  // of another protocol
)

var verbNames = [...]string{"", "EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "AUTH", "STARTTLS", "VRFY", "HELP", "EXPN"}

// String is the verb in upper case, never an octet of the client's.
func (v verb) String() string {
	if int(v) < len(verbNames) {
		return verbNames[v]
	}
	return ""
}

// longestVerb is the length of STARTTLS.
const longestVerb = 8

// splitVerb takes a line apart at its first blank. Letters' case does not matter (RFC 5321 §2.4).
func splitVerb(line []byte) (verb, []byte) {
	word, arg := line, []byte(nil)
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		word, arg = line[:i], bytes.TrimLeft(line[i:], " ")
	}
	var upper [longestVerb]byte
	if len(word) > longestVerb {
		return verbNone, arg
	}
	for i, b := range word {
		if b >= 'a' && b <= 'z' {
			b -= 'a' - 'A'
		}
		upper[i] = b
	}
	switch string(upper[:len(word)]) {
	case "EHLO":
		return verbEHLO, arg
	case "HELO":
		return verbHELO, arg
	case "MAIL":
		return verbMAIL, arg
	case "RCPT":
		return verbRCPT, arg
	case "DATA":
		return verbDATA, arg
	case "BDAT":
		return verbBDAT, arg
	case "RSET":
		return verbRSET, arg
	case "NOOP":
		return verbNOOP, arg
	case "QUIT":
		return verbQUIT, arg
	case "AUTH":
		return verbAUTH, arg
	case "STARTTLS":
		return verbSTARTTLS, arg
	case "VRFY":
		return verbVRFY, arg
	case "HELP":
		return verbHELP, arg
	case "EXPN":
		return verbEXPN, arg
	case "SEND", "SOML", "SAML", "TURN", "ETRN":
		return verbOther, arg
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "CONNECT", "PATCH", "TRACE":
		return verbHTTP, arg
	}
	return verbNone, arg
}
