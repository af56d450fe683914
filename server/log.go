package server

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rs/zerolog"
)

// maxLogged is how many octets of one string of a client go into a log line.
const maxLogged = 256

// bounded makes a client's string fit for the log: it is cut, and what zerolog leaves as it is though it breaks a line, moves a cursor or turns
// the text round (U+2028, C1, U+202E) becomes a question mark. The controls of ASCII zerolog escapes, so that an event stays one line.
func bounded(s string) string {
	end := ""
	if len(s) > maxLogged {
		end = "…"
		s = s[:maxLogged]
		for i := 0; i < utf8.UTFMax && len(s) > 0; i++ { // not in the middle of a rune
			if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size > 1 {
				break
			}
			s = s[:len(s)-1]
		}
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r >= 0x80 && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s) + end
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
