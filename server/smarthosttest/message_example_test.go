package smarthosttest_test

import (
	"fmt"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// A message reads itself: what the test wants to know of it is a method.
func ExampleMessage() {
	m := &smarthosttest.Message{Raw: []byte("From: =?utf-8?Q?J=C3=BCrgen?= <app@example.com>\r\nTo: bob@example.net\r\nSubject: Reset\r\n\r\n" +
		"Your code is 482113, or go to https://example.com/reset/1.\r\n")}
	link, err := m.Link("/reset/")
	if err != nil {
		fmt.Println(err)
	}
	code, err := m.Code()
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(m.From()[0].Name, m.Subject(), link, code)
	// Output: Jürgen Reset https://example.com/reset/1 482113
}

// The parts of a message are a tree, in which "0" is the message itself.
func ExampleMessage_Root() {
	m := &smarthosttest.Message{Raw: []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n--b\r\n" +
		"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''%e2%82%ac.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--b--\r\n")}
	for p := range m.Root().All() {
		fmt.Println(p.ID, p.Type, p.FileName, p.Size())
	}
	// Output:
	// 0 multipart/mixed  169
	// 1 text/plain  5
	// 2 application/pdf €.pdf 4
}

// Why says in words what a message has instead of what was looked for.
func ExampleMatch_Why() {
	m := &smarthosttest.Message{Raw: []byte("Subject: Welcome\r\n\r\nHello\r\n")}
	fmt.Println(smarthosttest.And(smarthosttest.SubjectContains("Reset"), smarthosttest.BodyContains("Hello")).Why(m))
	// Output: Subject is "Welcome"
}
