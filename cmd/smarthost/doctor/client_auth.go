package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func judgeAuth(mechanisms []string) Finding {
	f := Finding{Check: "auth", What: "AUTH " + clean(strings.Join(mechanisms, " ")), Detail: map[string]any{"mechanisms": append([]string{}, mechanisms...)}}
	plain, login := slices.Contains(mechanisms, "PLAIN"), slices.Contains(mechanisms, "LOGIN")
	switch {
	case len(mechanisms) == 0:
		f.Level = Problem
		f.What = "no login is offered inside TLS"
		f.Why = "Exim as it comes, Postfix, curl and nodemailer then send without one, and the mail bounces; OpenSMTPD stops for good"
		f.Do = "set up AUTH PLAIN LOGIN on the server, independent of whether its accounts can be reached at the moment"
	case plain && !login:
		f.Level = Warning
		f.Why = "dma and ssmtp know LOGIN only: dma returns the mail to its sender"
		f.Do = "have the server offer LOGIN beside PLAIN"
	case !plain && !login:
		f.Level = Warning
		f.Why = "many mail programs know only PLAIN and LOGIN"
		f.Do = "have the server offer PLAIN and LOGIN inside TLS"
	case !plain:
		f.Level = Note
		f.Why = "LOGIN without PLAIN: some programs know PLAIN only"
	}
	return f
}

// listedExtensions are those that a mail program gains from.
var listedExtensions = []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "CHUNKING"}

func judgeExtensions(ext map[string]string) Finding {
	var has []string
	for _, word := range listedExtensions {
		if _, ok := ext[word]; ok {
			has = append(has, word)
		}
	}
	f := Finding{Check: "extensions", Level: Note, What: "no limit of size is announced", Detail: map[string]any{"extensions": append([]string{}, has...)}}
	if n, err := strconv.ParseInt(ext["SIZE"], 10, 64); err == nil && n > 0 {
		f.What = fmt.Sprintf("mail up to %s", sizeText(n))
		f.Detail["size"] = n
	}
	if len(has) > 0 {
		f.What += "; " + strings.Join(has, ", ")
	}
	return f
}

func sizeText(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
