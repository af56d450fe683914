package doctor

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// queueID finds the id in the reply to the final dot, as smarthost, Postfix and others ("queued as ID") and Exim ("id=ID") give it.
var queueID = regexp.MustCompile(`(?i)(?:queued as|\bid=|message-?id:?|queue id)\s*<?([0-9A-Za-z][0-9A-Za-z._-]{3,63})`)

// send sends one mail and says what there is to see of its way.
func (c Client) send(ctx context.Context, t *talk, d *door, from string, report Report) error {
	a, err := t.envelope(from, c.Send)
	if err != nil {
		return err
	}
	f := Finding{Check: "send", Level: Problem, Where: d.where(), What: fmt.Sprintf("the mail to %s is refused: %s", clean(c.Send), a.text()),
		Why: "real mail would have got the same answer", Do: "the server's words say what it wants"}
	if !a.taken {
		report(f)
		return nil
	}
	id := strings.ToLower(rand.Text())
	messageID := "<smarthost-doctor." + id + "@" + domainOf(from) + ">"
	r, err := t.cmd("DATA")
	if err == nil && r.code == 354 {
		t.conn.SetDeadline(time.Now().Add(replyWait))
		if _, err = io.WriteString(t.conn, testMail(from, c.Send, messageID, time.Now())); err == nil {
			r, err = t.read(2 * time.Minute)
		}
	}
	if err != nil {
		return err
	}
	if f.Detail = map[string]any{"message_id": messageID, "reply": r.text()}; !r.ok() {
		f.What = fmt.Sprintf("the mail to %s is refused: %s", clean(c.Send), r.text())
		report(f)
		return nil
	}
	f.Level, f.Why, f.Do = Good, "", ""
	f.What = fmt.Sprintf("a mail to %s with Message-ID %s was taken: %s", clean(c.Send), messageID, r.text())
	queued := ""
	if m := queueID.FindStringSubmatch(r.text()); m != nil {
		queued = m[1]
		f.Detail["queue_id"] = queued
	}
	report(f)
	c.journey(ctx, d, messageID, queued, report)
	return nil
}

// journey tells how the mail went on, or where to look.
func (c Client) journey(ctx context.Context, d *door, messageID, queued string, report Report) {
	if c.Follow != nil && queued != "" {
		c.Progress.say("following %s in the queue", queued)
		if f := c.Follow(ctx, d.addr.Addr(), queued); f.Check != "" {
			report(f)
			return
		}
	}
	name := messageID
	if queued != "" {
		name = queued
	}
	report(Finding{Check: "journey", Level: Note, What: "what happens to it after the server has taken it cannot be seen from here",
		Do: fmt.Sprintf("look for %s in the server's log; for %s in the mailbox of %s, and in its spam folder; and for a report of non-delivery to the sender", name, messageID, clean(c.Send))})
}

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// testMail is the mail, with the final dot.
func testMail(from, to, messageID string, now time.Time) string {
	return strings.Join([]string{
		"From: <" + from + ">",
		"To: <" + to + ">",
		"Subject: smarthost doctor: test of " + now.UTC().Format(time.DateTime) + " UTC",
		"Date: " + now.Format(time.RFC1123Z),
		"Message-ID: " + messageID,
		"Auto-Submitted: auto-generated",
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=us-ascii",
		"",
		"This mail was sent by \"smarthost doctor --send\" to see whether mail gets through.",
		"If you can read it, it does. Nothing has to be done.",
		".", "",
	}, "\r\n")
}
