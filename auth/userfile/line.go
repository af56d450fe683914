package userfile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/seed-1397b510/smarthost/auth"
)

var (
	deviceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	className  = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)
)

// parseLine reads one line that is neither empty nor a comment. Its errors never repeat the hash.
func parseLine(line string) (auth.Login, error) {
	name, rest, ok := strings.Cut(line, ":")
	if !ok {
		return auth.Login{}, errors.New("has no colon; a line is name:hash or name:hash:attributes")
	}
	folded, err := auth.FoldName(name)
	if err != nil {
		return auth.Login{}, err
	}
	hash, attributes, _ := strings.Cut(rest, ":")
	if err := checkHash(hash); err != nil {
		return auth.Login{}, err
	}
	l := auth.Login{Account: auth.Account{Name: folded}, Hash: []byte(hash)}
	if strings.Contains(attributes, "$2") {
		return auth.Login{}, errors.New("has a second password hash among its attributes; a device has a line of its own")
	}
	for _, word := range strings.Fields(attributes) {
		if err := setAttribute(&l, word); err != nil {
			return auth.Login{}, err
		}
	}
	return l, nil
}

// maxCost is the dearest hash that is taken, about 7 s of a core: htpasswd makes no dearer ones. Nothing can break a comparison off.
const maxCost = 17

func checkHash(hash string) error {
	if !strings.HasPrefix(hash, "$2a$") && !strings.HasPrefix(hash, "$2b$") && !strings.HasPrefix(hash, "$2y$") || len(hash) != 60 {
		return errors.New("its password hash is not bcrypt; write it with htpasswd -B or smarthost user passwd")
	}
	if strings.Trim(hash[7:], "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return errors.New("its bcrypt hash is damaged; write it anew with smarthost user passwd")
	}
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil {
		return errors.New("its bcrypt hash is damaged; write it anew with smarthost user passwd")
	}
	if cost > maxCost {
		return fmt.Errorf("its bcrypt hash has cost %d, which holds a core for too long at each login; no more than %d is taken", cost, maxCost)
	}
	return nil
}

const attributes = "sender=, class=, device=, expires=, network= and tag="

func setAttribute(l *auth.Login, word string) (err error) {
	key, value, ok := strings.Cut(word, "=")
	if !ok {
		return fmt.Errorf("%q is no attribute; there are %s", word, attributes)
	}
	switch key {
	case "sender":
		if err := CheckSender(value); err != nil {
			return err
		}
		l.Senders = append(l.Senders, value)
	case "class":
		if !className.MatchString(value) {
			return fmt.Errorf("%q is not the name of a class: lower case letters, digits, - and _", value)
		}
		l.Class = value
	case "device":
		if err := CheckDevice(value); err != nil {
			return err
		}
		l.Device = value
	case "expires":
		if l.Expires, err = ParseExpiry(value); err != nil {
			return err
		}
	case "network":
		network, err := ParseNetwork(value)
		if err != nil {
			return err
		}
		l.Networks = append(l.Networks, network)
	case "tag":
		if auth.Tag(value+"-") != value {
			return fmt.Errorf("%q is not the tag of a secret: the six signs before the first dash of a generated one", value)
		}
		l.Tag = value
	default:
		return fmt.Errorf("there is no attribute %q; there are %s", key, attributes)
	}
	return nil
}

// CheckDevice tells what is wrong with the name of a device.
func CheckDevice(name string) error {
	if deviceName.MatchString(name) {
		return nil
	}
	return fmt.Errorf("%q is not the name of a device: at most 64 letters, digits, dots, - and _, and a letter or digit first", name)
}

// CheckSender tells what is wrong with a pattern of addresses: "a@b", "*@b", "a+*@b" or "*".
func CheckSender(pattern string) error {
	if pattern == "*" {
		return nil
	}
	i := strings.LastIndexByte(pattern, '@')
	if i < 1 || i == len(pattern)-1 || strings.Contains(pattern[i:], "*") || strings.Count(pattern, "*") > 1 ||
		strings.ContainsAny(pattern, " \t\r\n\"<>") {
		return fmt.Errorf(`%q is not a sender; it is an address, "*@example.org" for all of a domain, or "*" for any`, pattern)
	}
	return nil
}

// format is the line that parseLine reads as l.
func format(l auth.Login) string {
	line := l.Name + ":" + string(l.Hash)
	var words []string
	if l.Device != "" {
		words = append(words, "device="+l.Device)
	}
	if l.Class != "" {
		words = append(words, "class="+l.Class)
	}
	for _, s := range l.Senders {
		words = append(words, "sender="+s)
	}
	if !l.Expires.IsZero() {
		words = append(words, "expires="+FormatExpiry(l.Expires))
	}
	for _, n := range l.Networks {
		words = append(words, "network="+FormatNetwork(n))
	}
	if l.Tag != "" {
		words = append(words, "tag="+l.Tag)
	}
	if len(words) > 0 {
		line += ":" + strings.Join(words, " ")
	}
	return line
}
