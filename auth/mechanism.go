package auth

import (
	"bytes"

	"github.com/emersion/go-smtp"
)

// try decides about credentials; its error is the reply.
type try func(authzid, user string, password []byte) error

func errMalformed(words string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: 501, EnhancedCode: smtp.EnhancedCode{5, 5, 2}, Message: words}
}

// plain is the server's side of PLAIN (RFC 4616).
type plain struct {
	try   try
	asked bool
}

// Next takes the one message of the mechanism. A nil response asks for it.
func (p *plain) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil && !p.asked {
		p.asked = true
		return []byte{}, false, nil
	}
	fields := bytes.Split(response, []byte{0})
	if len(fields) != 3 {
		return nil, false, errMalformed("AUTH PLAIN takes three fields: authorization identity, user name, password")
	}
	if err := p.try(string(fields[0]), string(fields[1]), fields[2]); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}

// login is the server's side of LOGIN, which has no RFC: user name and password, each asked for.
type login struct {
	try  try
	step int
	user string
}

// Next takes the user name, perhaps as initial response, then the password.
func (l *login) Next(response []byte) (challenge []byte, done bool, err error) {
	if l.step == 0 && response == nil {
		l.step = 1
		return []byte("Username:"), false, nil
	}
	if l.step <= 1 {
		l.step, l.user = 2, string(response)
		return []byte("Password:"), false, nil
	}
	if err := l.try("", l.user, response); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}
