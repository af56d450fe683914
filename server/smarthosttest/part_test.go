package smarthosttest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed-1397b510/smarthost/policy/message"
)

// offset is where a part of a slice begins in it.
func offset(of, in []byte) int { return cap(in) - cap(of) }

// checkPart fails unless all octets of a part are in what was read of it.
func checkPart(t *testing.T, p *Part) {
	t.Helper()
	header := p.Raw[:len(p.Raw)-len(p.Body)]
	if !bytes.HasSuffix(p.Raw, p.Body) {
		t.Fatalf("part %s does not end in its body", p.ID)
	}
	var fields []byte
	for _, f := range p.Headers {
		fields = append(fields, f.Raw...)
		if !utf8.ValidString(f.Value()) {
			t.Errorf("%s is %q", f.Name, f.Value())
		}
	}
	if p.Err == nil && unbroken.Replace(string(fields)) != unbroken.Replace(string(header)) {
		t.Errorf("the header of part %s is %q, and its fields are %q", p.ID, header, fields)
	}
	for _, s := range []string{p.FileName, p.Type, p.Params["charset"]} {
		if !utf8.ValidString(s) {
			t.Errorf("part %s has %q", p.ID, s)
		}
	}
	if p.isMultipart() && len(p.Parts) > 0 {
		checkSections(t, p)
	}
}

// checkSections fails unless only boundaries stand between the parts.
func checkSections(t *testing.T, p *Part) {
	t.Helper()
	boundary := "--" + strings.TrimRight(p.Params["boundary"], " ")
	at := len(p.Preamble)
	for i, of := range p.Parts {
		begin := offset(of.Raw, p.Body)
		if cap(of.Raw) == 0 { // an empty slice at the very end says nothing of where it is
			begin = len(p.Body)
		}
		if begin < at || strings.TrimSpace(string(p.Body[at:begin])) != boundary {
			t.Fatalf("before part %d of %s stands %q, and not only %q", i+1, p.ID, p.Body[at:max(at, begin)], boundary)
		}
		at = begin + len(of.Raw)
	}
	end := strings.TrimSpace(string(p.Body[at : len(p.Body)-len(p.Epilogue)]))
	if end != "" && end != boundary+"--" && end != boundary {
		t.Fatalf("behind the parts of %s stands %q", p.ID, end)
	}
}

func FuzzMessage(f *testing.F) {
	corpus(f, func(_ string, raw []byte) { f.Add(raw) })
	f.Fuzz(func(t *testing.T, raw []byte) {
		kept := bytes.Clone(raw)
		m := &Message{Raw: raw[:len(raw):len(raw)]}
		n := 0
		for p := range m.Root().All() {
			n++
			if strings.Count(p.ID, ".") > maxDepth {
				t.Errorf("part %s is too deep", p.ID)
			}
			checkPart(t, p)
		}
		if n > maxParts+maxDepth+1 {
			t.Errorf("%d parts", n)
		}
		for _, s := range []string{m.Subject(), m.MessageID(), m.Text(), m.HTML(), fmt.Sprint(m.Links(), m.Codes())} {
			if !utf8.ValidString(s) {
				t.Errorf("%q is no text", s)
			}
		}
		_, _, _, _ = m.HiddenRecipients(), m.Attachments(), m.Inline(), m.Err()
		if !bytes.Equal(raw, kept) {
			t.Error("the message was changed")
		}
	})
}

// What the standard library writes is read as it was meant.
func FuzzRoundTrip(f *testing.F) {
	f.Add("Grüße", "Schöne Grüße\r\n\r\n.\r\n--x", "ä \"b\".pdf", []byte{0, 255})
	f.Add("", "", "", []byte{})
	f.Fuzz(func(t *testing.T, subject, text, name string, file []byte) {
		if !utf8.ValidString(subject) || !utf8.ValidString(text) || !utf8.ValidString(name) || strings.ContainsAny(subject+name, "\x00\r\n") || strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r") {
			return
		}
		text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
		m := &Message{Raw: written(t, subject, text, name, file)}
		if encoded := mime.QEncoding.Encode("utf-8", subject) != subject; encoded && m.Subject() != subject {
			t.Errorf("Subject is %q, and was %q", m.Subject(), subject)
		}
		if got, want := m.Text(), strings.TrimPrefix(strings.ReplaceAll(text, "\r\n", "\n"), "\uFEFF"); got != want {
			t.Errorf("text is %q, and was %q", got, want)
		}
		files := m.Attachments()
		if len(files) != 1 {
			t.Fatalf("%d files", len(files))
		}
		if content, err := files[0].Content(); !bytes.Equal(content, file) || err != nil {
			t.Errorf("file is %q, and was %q: %v", content, file, err)
		}
		if disposition := mime.FormatMediaType("attachment", map[string]string{"filename": name}); disposition != "" && files[0].FileName != name &&
			!strings.Contains(name, "=?") && strings.Contains(disposition, "filename*=") {
			t.Errorf("file name is %q, and was %q", files[0].FileName, name)
		}
		if err := m.Err(); err != nil {
			t.Error(err)
		}
	})
}

// written is a message by the standard library.
func written(t *testing.T, subject, text, name string, file []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	parts := multipart.NewWriter(&b)
	fmt.Fprintf(&b, "Subject: %s\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n", mime.QEncoding.Encode("utf-8", subject), parts.Boundary())
	part, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {"text/plain; charset=utf-8"}, "Content-Transfer-Encoding": {"quoted-printable"}})
	if err != nil {
		t.Fatal(err)
	}
	qp := quotedprintable.NewWriter(part)
	if _, err := qp.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	qp.Close()
	part, err = parts.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/octet-stream"},
		"Content-Disposition": {mime.FormatMediaType("attachment", map[string]string{"filename": name})}, "Content-Transfer-Encoding": {"base64"}})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(part, mimeLines(file))
	parts.Close()
	return b.Bytes()
}

func TestLimits(t *testing.T) {
	t.Parallel()
	deep := "text"
	for i := range maxDepth + 5 {
		deep = fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n%s\n--b%d--\n", i, i, deep, i)
	}
	for name, test := range map[string]struct{ raw, fault, seen string }{
		"depth":  {deep, "parts are nested deeper than 20, and it is not taken apart", "text"},
		"parts":  {"Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", maxParts) + "--b\n\nlast\n--b--\n", "more than 1000 parts", "last"},
		"header": {"X: " + strings.Repeat("x", message.MaxHeader) + "\n\nbody\n", "the header is larger than 256 KiB", "body"},
		"fields": {strings.Repeat("X: y\n", maxFields+1) + "\nbody\n", "more than 1000 fields", "body"},
	} {
		m := &Message{Raw: []byte(test.raw)}
		if err := m.Err(); err == nil || !strings.Contains(err.Error(), test.fault) {
			t.Errorf("%s: %v", name, err)
		}
		var last *Part
		for last = range m.Root().All() {
		}
		if content, _ := last.Content(); !bytes.Contains(content, []byte(test.seen)) {
			t.Errorf("%s: the last part has not %q", name, test.seen)
		}
	}
}

func TestPart(t *testing.T) {
	t.Parallel()
	m := &Message{Raw: []byte("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\nContent-Transfer-Encoding: base64\n\ndHdv\n--b--\n")}
	if p := m.Part("2"); p == nil || p.Size() != 3 || string(p.Raw) != "Content-Transfer-Encoding: base64\n\ndHdv" {
		t.Errorf("part 2 is %+v", p)
	}
	if p := m.Part("3"); p != nil {
		t.Errorf("part 3 is %+v", p)
	}
}

// mimeLines is base64 in lines of 76 characters (RFC 2045 §6.8).
func mimeLines(file []byte) string {
	var b strings.Builder
	for left := base64.StdEncoding.EncodeToString(file); left != ""; {
		n := min(76, len(left))
		b.WriteString(left[:n] + "\r\n")
		left = left[n:]
	}
	return b.String()
}

func BenchmarkMessage(b *testing.B) {
	file := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	m := &Message{Raw: []byte("Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ncode 123456, https://example.com/\r\n--b\r\n" +
		"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + mimeLines(file) + "\r\n--b--\r\n")}
	for name, read := range map[string]func(){
		"Subject": func() { m.Subject() }, "Text": func() { m.Text() }, "Links": func() { m.Links() }, "Codes": func() { m.Codes() }, "Err": func() { m.Err() },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(m.Raw)))
			b.ReportAllocs()
			for b.Loop() {
				read()
			}
		})
	}
}
