// Package enroll writes the configuration of mail clients: what a client has to be told to hand its mail to this server,
// over TLS that it verifies, logged in, and in such a way that it keeps the mail in passing trouble where it can be brought to.
//
// Each client is a file in templates: what it is, who runs it, the files that it needs and the commands that put them into
// force. The result is a [Plan], which can be printed as a shell script (or as the text that it is, for a program) and written
// into a folder. Every value goes through the quoting of the syntax that it lands in; a value that a syntax cannot hold is an error.
//
// The package makes no device and no secret, and looks at no config.
package enroll

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

//go:embed templates
var templates embed.FS

// Values are what a configuration is filled with.
type Values struct {
	User   string // the account's name
	Device string // letters, digits, dot, - and _
	Secret string // the device's password
	From   string // the address that mail comes from where the client asks for one
	MayBe  string // the addresses that the account may send as, in words
	Host   string // the server's name, as its certificate has it
	Port   int
	TLS    bool   // TLS from the first octet; else STARTTLS
	CA     string // PEM of the CA that issued the server's certificate; "" if the system knows it
	Revoke string // the command that takes the device away
}

// A Client is something that sends mail and can be configured.
type Client struct {
	Name    string // the word on the command line
	Summary string // one line
	Kind    Kind

	needs    []program
	sections []section
}

// Kind tells what a client's configuration is, and who has to be running the script.
type Kind string

// The kinds of clients.
const (
	System Kind = "system" // a script for root
	User   Kind = "user"   // a script for the user whose mail it is
	Text   Kind = "text"   // a program or a file, not a script
)

// A program has to be there before anything is written.
type program struct{ command, from string }

// Clients are all that there are, by name.
func Clients() ([]Client, error) {
	files, err := templates.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	var all []Client
	for _, file := range files {
		text, err := templates.ReadFile("templates/" + file.Name())
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(file.Name(), ".txt")
		c, err := parse(name, string(text))
		if err != nil {
			return nil, fmt.Errorf("template %s: %w", name, err)
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Client) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// check refuses what no configuration could hold, whatever its syntax: signs that end a line or steer a terminal.
func (v Values) check() error {
	var faults []error
	for _, part := range []struct{ name, value string }{
		{"user name", v.User}, {"device", v.Device}, {"password", v.Secret}, {"sender", v.From}, {"host name", v.Host},
		{"list of senders", v.MayBe}, {"command that revokes", v.Revoke},
	} {
		if part.value == "" || !utf8.ValidString(part.value) || strings.ContainsFunc(part.value, breaks) {
			faults = append(faults, fmt.Errorf("the %s %q is empty or holds signs that no configuration can hold", part.name, part.value))
		}
	}
	if strings.Trim(strings.ToLower(v.Host), "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		faults = append(faults, fmt.Errorf("%q is not a host name", v.Host))
	}
	if v.Port < 1 || v.Port > 65535 {
		faults = append(faults, fmt.Errorf("%d is not a port", v.Port))
	}
	return errors.Join(faults...)
}

// breaks tells of signs that end lines in one program or another, that cannot be seen, or that turn the direction of a line.
func breaks(r rune) bool { return !unicode.IsPrint(r) }
