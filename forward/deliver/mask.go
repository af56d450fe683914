package deliver

import (
	"encoding/base64"
	"strings"
)

// shownPassword is up to which length a password is not looked for in replies as it is: it could be a common word.
const shownPassword = 5

// Masking hides the password of a login, and what it is sent as (RFC 4616, AUTH LOGIN), in a text that is to be shown:
// some servers repeat a command that they do not like.
func Masking(user, password string) *strings.Replacer {
	var pairs []string
	for _, sent := range []string{"\x00" + user + "\x00" + password, password} {
		pairs = append(pairs, strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(sent)), "="), "***")
	}
	if len(password) > shownPassword {
		pairs = append(pairs, password, "***")
	}
	return strings.NewReplacer(pairs...)
}
