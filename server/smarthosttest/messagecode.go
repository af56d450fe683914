package smarthosttest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Codes are the one-time codes in Subject, Text and the visible HTML, in this order and each once. The rules are these, line by line:
//
//   - A code has 4 to 8 digits, or 4 to 8 capital letters and digits with at least one digit, or twice three or four digits with a hyphen between them,
//     or a letter, a hyphen and 4 to 8 digits ("G-123456"). Twice three or twice four digits with a blank between them are one code, which is returned without the blank.
//   - It stands on a line with a word such as code, PIN, OTP, TAN, passcode or token; or alone on its line, below one of them by at most three lines that are not empty.
//   - Small letters beside digits, capital letters alone, other groups of together 4 to 10 with a hyphen between them, and 1900 to 2099 count only directly behind the word ("code: KXWQ", "PIN is 2024"), or alone on their line.
//   - Nothing is one that is part of a URL or an address, stands behind a word such as order, invoice or room, or before a unit of time or money; and zip codes,
//     error codes and their like are no such word.
func (m *Message) Codes() []string {
	root := m.Root()
	var all []string
	for _, text := range []string{m.Subject(), root.text(), visible(root.html())} {
		for _, code := range findCodes(text) {
			if !slices.Contains(all, code) {
				all = append(all, code)
			}
		}
	}
	return all
}

// Code is the only one-time code; see [Message.Codes]. Unless there is exactly one, the error lists all.
func (m *Message) Code() (string, error) {
	codes := m.Codes()
	if len(codes) != 1 {
		return "", fmt.Errorf("message %s has %d one-time codes, and exactly one should be there: %q", m.ID, len(codes), codes)
	}
	return codes[0], nil
}

const codeBelow = 3 // lines that are not empty, between which a word and its code may stand

var (
	codeWord  = regexp.MustCompile(`(?i)^(\pL*codes?|pin|otp|totp|tan|token|mot de passe|einmalpasswort|einmalkennwort|contraseña|código|códigos|codice|kode|kod|код|.*(验证码|驗證碼|認証コード|確認コード).*)$`)
	eastern   = regexp.MustCompile(`[\p{Han}\p{Hiragana}\p{Katakana}ー，。：、！「」【】]+`) // runs of what has no blanks between words
	assigned  = regexp.MustCompile(`(?i)^(\pL+)[:=]([A-Z0-9-]+)$`)                 // OTP=123456
	otherWord = regexp.MustCompile(`(?i)^(barcode|zipcode|postcode|unicode|encode|decode|qrcode|geocode|sourcecode)s?$`)
	otherCode = regexp.MustCompile(`(?i)^(zip|post|postal|area|country|dialling|dialing|error|status|exit|response|return|source|qr|bar|dress|vat|tax)$`)
	noCode    = regexp.MustCompile(`(?i)^(order|invoice|ticket|room|reference|ref|case|customer|account|tracking|no|nr|number|phone|tel|fax|[$€£¥]|usd|eur|gbp)$`)
	unit      = regexp.MustCompile(`(?i)^(ms|s|sec|secs|seconds?|min|mins|minutes?|h|hours?|days?|weeks?|months?|years?|[$€£¥%]|usd|eur|gbp|euros?|dollars?|points|people|users|times)$`)
	between   = regexp.MustCompile(`(?i)^(is|ist|lautet|est|es|è|jest|:|=|->|→|-|–)$`)

	digits   = regexp.MustCompile(`^[0-9]{4,8}$`)
	mixed    = regexp.MustCompile(`^[A-Z0-9]{4,8}$`)
	small    = regexp.MustCompile(`^[A-Za-z0-9]{4,8}$`)
	grouped  = regexp.MustCompile(`^([A-Za-z0-9]{1,8})-([A-Za-z0-9]{2,8})$`)
	prefixed = regexp.MustCompile(`^[A-Z]-[0-9]{4,8}$`)
	half     = regexp.MustCompile(`^([0-9]{3}|[0-9]{4})$`)
	year     = regexp.MustCompile(`^(19|20)[0-9]{2}$`)
)

// findCodes applies the rules of Codes to one text.
func findCodes(text string) []string {
	var all []string
	below := 0 // lines for which a code alone on its line still counts
	for line := range strings.Lines(text) {
		words := codeWords(line)
		if len(words) == 0 {
			continue
		}
		if slices.Contains(marks(words), true) {
			all = append(all, codesBeside(words)...)
			below = codeBelow
			continue
		}
		if below > 0 {
			if code := joinedHalves(words); isCode(code, true) {
				all = append(all, code)
			}
		}
		below--
	}
	return all
}

// A word of a line, without the signs around it. A colon or equals sign behind it is a word of its own.
func codeWords(line string) []string {
	var words []string
	for _, w := range strings.Fields(eastern.ReplaceAllString(line, " $0 ")) {
		if parts := assigned.FindStringSubmatch(w); parts != nil && codeWord.MatchString(parts[1]) {
			words = append(words, parts[1:]...)
			continue
		}
		w = strings.Trim(w, "()[]{}<>\"'*_`„“”«»‘’,;!?")
		stop := strings.TrimRight(w, ".。")
		w, colon := strings.CutSuffix(stop, ":")
		if w != "" {
			words = append(words, strings.TrimLeft(w, "*_"))
		}
		if colon {
			words = append(words, ":")
		}
	}
	return words
}

// marks tells which words are those that a code stands near.
func marks(words []string) []bool {
	is := make([]bool, len(words))
	for i, w := range words {
		is[i] = codeWord.MatchString(w) && !otherWord.MatchString(w) && (i == 0 || !otherCode.MatchString(words[i-1]))
		for j, part := range strings.Split(w, "-") { // one-time-code, Login-Code
			is[i] = is[i] || j > 0 && codeWord.MatchString(part)
		}
		if i > 0 && strings.EqualFold(w, "password") {
			before := strings.ToLower(words[i-1])
			is[i] = before == "one-time" || before == "time" || before == "onetime"
		}
	}
	return is
}

// codesBeside are the codes on a line that has such a word.
func codesBeside(words []string) []string {
	var all []string
	is := marks(words)
	for i := 0; i < len(words); i++ {
		if is[i] {
			continue
		}
		of, end := words[i], i+1
		if end < len(words) && half.MatchString(of) && half.MatchString(words[end]) && len(of) == len(words[end]) {
			of, end = of+words[end], end+1
		}
		before := i - 1
		for before >= 0 && between.MatchString(words[before]) {
			before--
		}
		behind := before >= 0 && is[before]
		excluded := before >= 0 && noCode.MatchString(words[before]) || end < len(words) && unit.MatchString(words[end])
		if !excluded && isCode(of, behind) {
			all = append(all, of)
			i = end - 1
		}
	}
	return all
}

// joinedHalves is a line's only word, or its two halves of a code; "" if it has more.
func joinedHalves(words []string) string {
	switch {
	case len(words) == 1:
		return words[0]
	case len(words) == 2 && half.MatchString(words[0]) && half.MatchString(words[1]) && len(words[0]) == len(words[1]):
		return words[0] + words[1]
	}
	return ""
}

// isCode tells whether a word looks like a code; sure is for what stands directly behind the word that speaks of it, or alone.
func isCode(s string, sure bool) bool {
	hasDigit := strings.ContainsAny(s, "0123456789")
	switch {
	case digits.MatchString(s):
		return sure || !year.MatchString(s)
	case mixed.MatchString(s):
		return hasDigit || sure && !codeWord.MatchString(s)
	case small.MatchString(s):
		return sure && hasDigit
	}
	parts := grouped.FindStringSubmatch(s)
	if parts == nil || !hasDigit {
		return false
	}
	n := len(parts[1]) + len(parts[2])
	twin := half.MatchString(parts[1]) && half.MatchString(parts[2]) && len(parts[1]) == len(parts[2])
	return n >= 4 && n <= 10 && (sure || twin || prefixed.MatchString(s))
}
