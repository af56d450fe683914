package smarthosttest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCodes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"Your code is 123456.":             {"123456"},
		"123456 is your verification code": {"123456"},
		"Code: 123 456":                    {"123456"},
		"Your login code:\n\n  4821\n\nIt is valid for a while.": {"4821"},
		"Your passcode\n\nABCD-1234":                             {"ABCD-1234"},
		"G-123456 is your code":                                  {"G-123456"},
		"ISO-8859 is the code":                                   nil, // a hyphen between longer groups counts only behind the word
		"your code is G-123456":                                  {"G-123456"},
		"PIN: KXWQ":                                              {"KXWQ"},
		"The PIN code is 0042, and the PUK is not here":          {"0042"},
		"OTP=998877":                                             {"998877"},
		"your one-time password is a1b2c3":                       {"a1b2c3"},
		"Use **X7K2P9** as your sign-in token":                   {"X7K2P9"},
		"Bestätigungscode: 55 1234":                              {"1234"},
		"Ihr Einmalpasswort lautet 771204":                       {"771204"},
		"您的验证码是123456，5分钟内有效。":                                   {"123456"},
		"認証コード：654321":                                           {"654321"},
		"code 111111 or code 222222, and code 111111":            {"111111", "222222", "111111"},
		"code: 2026":                                             {"2026"},
		"The code of 24 November 2026 has expired":               nil,
		"Order 12345: your code is 9876":                         {"9876"},
		"The code is valid for 1000 seconds":                     nil,
		"Your zip code 12345 is on file":                         nil,
		"error code 5021 happened":                               nil,
		"Go to https://example.com/code/123456 for your code":    nil,
		"Write to 123456@example.com for a code":                 nil,
		"The meeting is in 123456":                               nil,
		"code\n1\n2\n3\n123456":                                  nil, // too far below
		"Your code is in the APP":                                nil,
		"Your code is 1.299.000 or 1,299.00 or 10:30":            nil,
		"Your code is CODE":                                      nil,
	} {
		if diff := cmp.Diff(want, findCodes(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	m := &Message{ID: "7", Raw: []byte("Subject: 123456 is your code\nContent-Type: text/html\n\n<style>.code{width:9999px}</style><p>Your code:<table><tr><td>123456</table>")}
	if code, err := m.Code(); err != nil || code != "123456" {
		t.Errorf("%q, %v", code, err)
	}
	m.Raw = append(m.Raw, "<p>code 654321"...)
	if _, err := m.Code(); err == nil || !strings.Contains(err.Error(), `has 2 one-time codes, and exactly one should be there: ["123456" "654321"]`) {
		t.Error(err)
	}
}
