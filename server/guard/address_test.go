package guard

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// checklist 67, 68, 69, 70
func TestParsePath(t *testing.T) {
	t.Parallel()
	domain := strings.Repeat(strings.Repeat("d", 61)+".", 4) // 248
	for s, want := range map[string]struct {
		Path
		rest string
		err  error
	}{
		"<>":                                  {},
		"<> SIZE=1":                           {rest: " SIZE=1"},
		"<a@b>":                               {Path: Path{"a", "b"}},
		"<a.b+c@d.example>x":                  {Path: Path{"a.b+c", "d.example"}, rest: "x"},
		`<"a b"@c>`:                           {Path: Path{`"a b"`, "c"}},
		`<"a@b>\" "@c>`:                       {Path: Path{`"a@b>\" "`, "c"}},
		"<@a,@b.c:d@e>":                       {Path: Path{"d", "e"}},
		"<@[192.0.2.1]:d@e>":                  {Path: Path{"d", "e"}},
		"<postMaster>":                        {Path: Path{"postMaster", ""}},
		"<a@[192.0.2.1]>":                     {Path: Path{"a", "[192.0.2.1]"}},
		"<a@[ipv6:::1]>":                      {Path: Path{"a", "[ipv6:::1]"}},
		"<ü@ü>":                               {Path: Path{"ü", "ü"}},
		"<a@" + domain + "dd>":                {Path: Path{"a", domain + "dd"}},
		"<aaaaa@" + domain + "d>":             {err: errLength},
		"<a@" + domain + "ddddd>":             {err: errLength},
		"":                                    {err: errBrackets},
		"a@b":                                 {err: errBrackets},
		"<a@b":                                {err: errBrackets},
		"<a@b c>":                             {err: errBrackets},
		"< a@b>":                              {err: errLocal},
		"<a>":                                 {err: errAt},
		"<a@>":                                {err: errDomain},
		"<@>":                                 {err: errRoute},
		"<@a>":                                {err: errRoute},
		"<@a,b:c@d>":                          {err: errRoute},
		"<.a@b>":                              {err: errLocal},
		"<a.@b>":                              {err: errLocal},
		"<a..b@c>":                            {err: errLocal},
		"<a@b@c>":                             {err: errBrackets},
		"<a@b..c>":                            {err: errDomain},
		"<a@-b>":                              {err: errDomain},
		"<a@b->":                              {err: errDomain},
		"<a@b.>":                              {err: errDomain},
		"<a@[192.0.2.1>":                      {err: errLiteral},
		"<a@[192.0.2]>":                       {err: errLiteral},
		"<a@[::1]>":                           {err: errLiteral},
		"<a@[IPv6:192.0.2.1]>":                {err: errLiteral},
		"<a@[IPv6:fe80::1%eth0]>":             {err: errLiteral},
		"<a@[x:y]>":                           {err: errLiteral},
		"<\"a\x00\"@b>":                       {err: errLocal},
		"<\"a\\\r\"@b>":                       {err: errLocal},
		"<\"a\n\"@b>":                         {err: errLocal},
		`<"a@b>`:                              {err: errLocal},
		`<"a\`:                                {err: errLocal},
		`<"a"b@c>`:                            {err: errAt},
		"<\xff@b>":                            {err: errUTF8},
		"<a\u0085@b>":                         {err: errUTF8},
		"<a\u2028@b>":                         {err: errUTF8},
		"<a@" + domain[:63] + "dd>":           {Path: Path{"a", domain[:63] + "dd"}},
		"<a@" + strings.Repeat("d", 64) + ">": {err: errDomain},
		"<" + strings.Repeat("a", 65) + "@b>": {err: errLength},
		"<\"" + strings.Repeat("a", 63) + "\"@b>":   {err: errLength},
		"<" + strings.Repeat("a", 64) + "@" + "b>x": {Path: Path{strings.Repeat("a", 64), "b"}, rest: "x"},
	} {
		p, rest, err := ParsePath(s)
		if err != want.err {
			t.Errorf("%q: got %v, want %v", s, err, want.err)
		} else if diff := cmp.Diff(want.Path, p); err == nil && (diff != "" || rest != want.rest) {
			t.Errorf("%q: rest %q, %s", s, rest, diff)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"<>", "<a@b>", `<"a\" >"@[IPv6:::1]> X=1`, "<@a,@b:c@d>", "<postmaster>", "<ü@ü>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, rest, err := ParsePath(s)
		if err != nil {
			return
		}
		if !strings.HasSuffix(s, ">"+rest) {
			t.Fatalf("%q: rest %q", s, rest)
		}
		if len(p.Local) > maxLocal || len(p.String()) > maxPath-2 || !utf8.ValidString(p.String()) {
			t.Fatalf("%q: limits", s)
		}
		if strings.IndexFunc(p.String(), func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
			t.Fatalf("%q: control", s)
		}
		again, rest, err := ParsePath("<" + p.String() + ">")
		if err != nil || again != p || rest != "" {
			t.Fatalf("%q: round trip gives %v, %q, %v", s, again, rest, err)
		}
		if !p.Null() {
			if q, err := ParseMailbox(p.String()); err != nil || q != p {
				t.Fatalf("%q: as a mailbox %v, %v", s, q, err)
			}
		}
	})
}

func FuzzParameters(f *testing.F) {
	f.Add("FROM:<a@b> SIZE=1 BODY=8BITMIME RET=HDRS ENVID=a+2B AUTH=<> SMTPUTF8 REQUIRETLS")
	f.Add(`TO:<"a b"@c> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+40b`)
	f.Fuzz(func(t *testing.T, arg string) {
		c := &Conn{g: &Guard{Hostname: "mx.test", MaxMessageSize: 1000}}
		c.ext, c.utf8 = extensions{dsn: true, utf8: true, requireTLS: true}, true
		line, _, refusal := c.appendMail(nil, arg)
		if refusal != nil {
			line, refusal = c.appendRcpt(nil, arg)
		}
		if refusal == nil && strings.ContainsAny(string(line), "\r\n\x00") {
			t.Fatalf("%q gives %q", arg, line)
		}
	})
}
