package smarthosttest_test

import (
	"fmt"
	"log"
	"net/smtp"
	"strings"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// deliver is the program under test: it sends one message with net/smtp, which goes on to TLS and logs in.
func deliver(srv *smarthosttest.Server, from, text string, to ...string) error {
	c, err := smtp.Dial(srv.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Hello("app.example.com"); err != nil {
		return err
	}
	if err := c.StartTLS(srv.ClientTLS()); err != nil {
		return err
	}
	if err := c.Auth(srv.Auth("app")); err != nil {
		return err
	}
	if err := c.Mail(from); err != nil {
		return err
	}
	for _, address := range to {
		if err := c.Rcpt(address); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

const text = `Date: Mon, 23 Nov 2026 10:00:00 +0000
Message-ID: <1@app.example.com>
From: app@example.com
To: bob@example.net
Subject: Your password

Go to https://app.example.com/reset/5f3a to choose another.
`

// In a test, NewServer(t) stands in place of Start and Close.
func Example() {
	srv, err := smarthosttest.Start(smarthosttest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	if err := deliver(srv, "app@example.com", text, "bob@example.net", "audit@example.com"); err != nil {
		log.Fatal(err)
	}

	m := srv.Messages(smarthosttest.To("bob@*"))[0]
	link, err := m.Link("/reset/")
	fmt.Println(m.User, "sent", m.Subject())
	fmt.Println(link, err)
	fmt.Println(m.HiddenRecipients())
	// Output:
	// app sent Your password
	// https://app.example.com/reset/5f3a <nil>
	// [audit@example.com]
}

// A test would say srv.Script(…), and fail if the rule was not met.
func ExampleGreylisting() {
	srv, err := smarthosttest.Start(smarthosttest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	script, err := srv.AddRules(smarthosttest.Greylisting("bob@*", 1)...)
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(deliver(srv, "app@example.com", text, "bob@example.net"))
	fmt.Println(deliver(srv, "app@example.com", text, "bob@example.net"))
	fmt.Println(len(srv.Messages()), script.Unmet())
	// Output:
	// 451 "4.7.1 Greylisted, try again later"
	// <nil>
	// 1 <nil>
}

// What is sent without Date and Message-ID, and retried at once, is held against its sender elsewhere. A test would say srv.Clean().
func ExampleServer_Lint() {
	srv, err := smarthosttest.Start(smarthosttest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	if err := deliver(srv, "app@example.com", "From: app@example.com\nBcc: eve@example.org\n\nhello\n", "bob@example.net"); err != nil {
		log.Fatal(err)
	}
	for _, f := range srv.Lint() {
		fmt.Println(f.Name, f.RFC)
	}
	// Output:
	// bcc-field RFC 5322 §3.6.3
	// no-date RFC 5322 §3.6.1
	// no-message-id RFC 5322 §3.6.4
}

func ExampleOn() {
	fmt.Println(smarthosttest.On(smarthosttest.RCPT).To("bob@*").Times(2).Reply(451, "4.7.1", "greylisted"))
	fmt.Println(smarthosttest.On(smarthosttest.Content).User("app").AcceptThenReply(451, "4.3.0", "trouble"))
	// Output:
	// {"on":"rcpt","to":"bob@*","times":2,"do":{"reply":[451,"4.7.1","greylisted"]}}
	// {"on":"content","user":"app","do":{"reply":[451,"4.3.0","trouble"],"stored":true}}
}
