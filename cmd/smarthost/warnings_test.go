package main

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestMountedAt(t *testing.T) {
	const mounts = `22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/a,upperdir=/b,workdir=/c
23 22 0:21 / /proc rw - proc proc rw
31 22 254:1 /volumes/mail /var/lib/smarthost rw,relatime master:1 - ext4 /dev/vda rw
32 22 0:40 / /var/lib rw shared:3 master:2 - xfs /dev/vdb rw
33 22 0:41 / /srv/two\040words rw - tmpfs tmpfs rw
34 22 0:42 / /run rw - tmpfs tmpfs rw
35 22 0:43 / /run rw - fuse.fuse-overlayfs fuse-overlayfs rw
a line of a later kernel
`
	for folder, want := range map[string]string{
		"/home":                    "overlay",
		"/var/lib/smarthost":       "ext4",
		"/var/lib/smarthost/queue": "ext4",
		"/var/lib/smarthost2":      "xfs",
		"/srv/two words/data":      "tmpfs",
		"/srv/two":                 "overlay",
		"/run/smarthost":           "fuse.fuse-overlayfs", // the later mount hides the one below it
	} {
		if got := mountedAt(strings.NewReader(mounts), folder); got != want {
			t.Errorf("%s: got %q, want %q", folder, got, want)
		}
	}
	if got := fileSystem("/proc"); got != "proc" {
		t.Errorf("/proc is of type %q here", got)
	}
}

// Addresses of the config that sockets stand in for are named, unless the ports are the same, or nobody wrote them.
func TestWarnOfUnused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := &door{Listener: l, Passed: true}
	for listen, want := range map[string]bool{
		"":                                     false,
		"submission = [\":" + d.Port() + "\"]": false,
		"submission = [\":1\"]":                true,
		"submissions = [\":1\"]":               false, // nothing was passed for it
	} {
		c := wired(t, "hostname = \"mx.example.org\"\ndata = \""+t.TempDir()+"\"\n[listen]\n"+listen+"\n")
		var said bytes.Buffer
		warnOfUnused(c, []*door{d}, zerolog.New(&said))
		if got := strings.Contains(said.String(), `"address":":1"`); got != want {
			t.Errorf("%s: %s", listen, said.String())
		}
	}
}
