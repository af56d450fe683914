package server

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rs/zerolog"
)

// maxLogged is how many octets of one string of a client go into a log line.
const maxLogged = 256

// bounded cuts a client's string for the log. What is left is escaped by zerolog, so that an event stays one line.
func bounded(s string) string {
	if len(s) <= maxLogged {
		return s
	}
	s = s[:maxLogged]
	for i := 0; i < utf8.UTFMax && len(s) > 0; i++ { // not in the middle of a rune
		if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size > 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s + "…"
}

// protocolLog takes what go-smtp has to say: panics of ours, and connections that broke.
type protocolLog struct{ log zerolog.Logger }

func (l protocolLog) Printf(format string, v ...any) {
	level := zerolog.DebugLevel
	if strings.HasPrefix(format, "panic") {
		level = zerolog.ErrorLevel
	}
	l.log.WithLevel(level).Str("cause", fmt.Sprintf(format, v...)).Msg("protocol")
}

func (l protocolLog) Println(v ...any) { l.Printf("%s", fmt.Sprintln(v...)) }
