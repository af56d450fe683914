package smarthosttest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTextLinks(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]Link{
		"see https://example.com/a.":                                   {{URL: "https://example.com/a"}},
		"(https://example.com/a_(b)), <HTTP://example.com/?q=1&r=[2]>": {{URL: "https://example.com/a_(b)"}, {URL: "HTTP://example.com/?q=1&r=[2]"}},
		"“https://example.com/” and https://":                          {{URL: "https://example.com/"}},
		"打开https://example.com/重置。":                                    {{URL: "https://example.com/重置"}},
		"**https://example.com/x**":                                    {{URL: "https://example.com/x"}},
		"ftp://example.com/ xhttps://example.com/":                     nil,
	} {
		if diff := cmp.Diff(want, textLinks(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestHTMLLinks(t *testing.T) {
	t.Parallel()
	page := `<title>https://title.example</title><style>a{background:url(https://css.example)}</style><script>"https://js.example"</script>
<a href="#top">top</a> <a name=x>no link</a><A HREF=' https://example.com/?a=1&amp;b=2
'>Reset
 <b>now</b></A><a href="/relative"><img alt="a picture" src=https://img.example></a><a href="mailto:help@example.com">help<a href="javascript:x()">js</a>
bare https://example.com/bare, <map><area href="https://example.com/area" alt="the area"></map><a href="https://example.com/open">open`
	want := []Link{{"https://example.com/?a=1&b=2", "Reset now"}, {"/relative", "a picture"}, {"mailto:help@example.com", "help"}, {"javascript:x()", "js"},
		{"https://example.com/bare", ""}, {"https://example.com/area", "the area"}, {"https://example.com/open", "open"}}
	if diff := cmp.Diff(want, htmlLinks(page)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestVisible(t *testing.T) {
	t.Parallel()
	if got, want := visible("<p>a&nbsp;b <i>c</i>d<td>e<br>f<script>g</script><SCRIPT/>h</SCRIPT>\n\n i"), "a b cd\ne\nf\ni"; got != want {
		t.Errorf("%q, and should be %q", got, want)
	}
}

func TestLink(t *testing.T) {
	t.Parallel()
	m := &Message{ID: "7", Raw: []byte("Subject: x\n\nhttps://example.com/reset/1 https://example.com/help https://example.com/reset/1\n")}
	if url, err := m.Link("/reset/"); url != "https://example.com/reset/1" || err != nil {
		t.Errorf("%q, %v", url, err)
	}
	if _, err := m.Link("example.com"); err == nil || !strings.HasPrefix(err.Error(), `2 links of message 7 have "example.com" in their URL, and exactly one should; its links are`+"\n  https://example.com/reset/1") {
		t.Error(err)
	}
	if _, err := (&Message{ID: "8"}).Link("x"); err == nil || err.Error() != "message 8 has no links" {
		t.Error(err)
	}
}
