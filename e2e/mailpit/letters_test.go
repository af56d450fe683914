//go:build e2e

package mailpit

// A letter is a message, and what clients must say of it.
type letter struct {
	user, from string
	to         []string
	id         string // its Message-ID
	content    string // with LF
	summary    string // in JSON, as the client has it in its list; without what no two servers share
	message    string // the same of the message itself
}

var letters = []letter{
	{
		user: "alice", from: "bounces@example.com", to: []string{"bob@example.net", "carol@example.net", "dave@example.net"}, id: "code@example.com",
		content: `From: =?utf-8?q?Al=C3=AFce?= <alice@example.com>
To: Bob <bob@example.net>
Cc: carol@example.net
Reply-To: answers@example.com
Subject: =?utf-8?b?4pyT?= your code
Date: Tue, 24 Nov 2026 11:00:00 +0100
Message-ID: <code@example.com>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/alternative; boundary=a

--a
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

WW91ciBjb2RlIGlzIDEyMzQ1Ng==
--a
Content-Type: text/html; charset=utf-8

<p>Your code is <b>123456</b>.</p>
--a--
--b
Content-Type: text/csv; name=a.csv
Content-Disposition: attachment; filename=a.csv
Content-Transfer-Encoding: base64

MSwyCg==
--b--
`,
		summary: `{"MessageID": "code@example.com", "Read": false, "Subject": "✓ your code", "Snippet": "Your code is 123456.", "Attachments": 1,
			"From": {"Name": "Alïce", "Address": "alice@example.com"}, "To": [{"Name": "Bob", "Address": "bob@example.net"}],
			"Cc": [{"Name": "", "Address": "carol@example.net"}], "Bcc": [{"Name": "", "Address": "dave@example.net"}],
			"ReplyTo": [{"Name": "", "Address": "answers@example.com"}]}`,
		message: `{"MessageID": "code@example.com", "Subject": "✓ your code", "Date": "2026-11-24T11:00:00+01:00", "ReturnPath": "bounces@example.com",
			"Text": "Your code is 123456", "HTML": "<p>Your code is <b>123456</b>.</p>", "Inline": [],
			"Attachments": [{"PartID": "2", "FileName": "a.csv", "ContentType": "text/csv", "ContentID": "", "Size": 4}],
			"From": {"Name": "Alïce", "Address": "alice@example.com"}, "To": [{"Name": "Bob", "Address": "bob@example.net"}],
			"Cc": [{"Name": "", "Address": "carol@example.net"}], "Bcc": [{"Name": "", "Address": "dave@example.net"}],
			"ReplyTo": [{"Name": "", "Address": "answers@example.com"}]}`,
	},
	{
		user: "bob", from: "bob@example.net", to: []string{"alice@example.com"}, id: "answer@example.net",
		content: `From: bob@example.net
To: alice@example.com
Subject: thanks
Date: Tue, 24 Nov 2026 10:05:00 +0000
Message-ID: <answer@example.net>

That was it.
`,
		summary: `{"MessageID": "answer@example.net", "Read": false, "Subject": "thanks", "Snippet": "That was it.", "Attachments": 0,
			"From": {"Name": "", "Address": "bob@example.net"}, "To": [{"Name": "", "Address": "alice@example.com"}], "Cc": [], "Bcc": [], "ReplyTo": []}`,
		message: `{"MessageID": "answer@example.net", "Subject": "thanks", "Date": "2026-11-24T10:05:00Z", "ReturnPath": "bob@example.net",
			"Text": "That was it.\n", "HTML": "", "Inline": [], "Attachments": [],
			"From": {"Name": "", "Address": "bob@example.net"}, "To": [{"Name": "", "Address": "alice@example.com"}], "Cc": [], "Bcc": [], "ReplyTo": []}`,
	},
}
