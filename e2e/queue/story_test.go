//go:build e2e

package queue

import (
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// A mail that two hops put off, and that the second then takes for one recipient and refuses for the other, is one story.
func TestStoryOfTwoHops(t *testing.T) {
	lab.StartDNS(t, "127.0.0.1",
		"dest.test. 60 IN MX 10 mx1.dest.test.", "dest.test. 60 IN MX 20 mx2.dest.test.",
		"mx1.dest.test. 60 IN A 203.0.113.21", "mx2.dest.test. 60 IN A 203.0.113.22")
	for _, address := range []string{"203.0.113.21/32", "203.0.113.22/32"} {
		lab.Command(t, "ip", "address", "add", address, "dev", "lo")
	}
	startSink(t, "203.0.113.21:25", func(string) error {
		return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "first hop is busy"}
	})
	asked := map[string]int{}
	startSink(t, "203.0.113.22:25", func(to string) error {
		if asked[to]++; asked[to] == 1 {
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "second hop is greylisting"}
		}
		return byName(to)
	})
	server := lab.NewSmarthost(t, `retry = ["1s", "1h"]`)
	server.Start(t)
	run(t, "testdata/story", server, &senders{}, nil)
}
