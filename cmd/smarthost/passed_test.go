package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestListSockets(t *testing.T) {
	type variables map[string]string
	for name, test := range map[string]struct {
		given variables
		want  []passedSocket
		fault string
	}{
		"none":                     {},
		"for another process":      {given: variables{"LISTEN_PID": "8", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "submission"}},
		"handed to another":        {given: variables{handedOver: "8 submission=9"}},
		"two":                      {variables{"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "submissions:submission"}, []passedSocket{{"submissions", 3}, {"submission", 4}}, ""},
		"of one name":              {variables{"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "submission:submission"}, []passedSocket{{"submission", 3}, {"submission", 4}}, ""},
		"handed over":              {variables{handedOver: "7 submission=9 submissions=12", "LISTEN_PID": "7", "LISTEN_FDS": "x"}, []passedSocket{{"submission", 9}, {"submissions", 12}}, ""},
		"no number":                {variables{"LISTEN_PID": "7", "LISTEN_FDS": "many"}, nil, `LISTEN_FDS is "many"`},
		"too many":                 {variables{"LISTEN_PID": "7", "LISTEN_FDS": "65"}, nil, "from 0 to 64"},
		"with the unit's own name": {variables{"LISTEN_PID": "7", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "smarthost.socket"}, nil, `"smarthost.socket"; set FileDescriptorName= in its socket unit to submission or submissions`},
		"without a name":           {variables{"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "submission"}, nil, `by the name of ""`},
		"handed over as nothing":   {variables{handedOver: "7 submission="}, nil, `"submission=" is no socket`},
		"standard input":           {variables{handedOver: "7 submission=0"}, nil, `"submission=0" is no socket`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := listSockets(func(v string) string { return test.given[v] }, 7)
			if said := fmt.Sprint(err); test.fault == "" && err != nil || !strings.Contains(said, test.fault) {
				t.Errorf("got %v, want %q", err, test.fault)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(passedSocket{})); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// A door that is closed keeps its clients waiting, not refused, once its socket is kept; the next program lets them in.
func TestKeptSocketsGoOnListening(t *testing.T) {
	c := wired(t, "hostname = \"mx.example.org\"\ndata = \""+t.TempDir()+"\"\n[listen]\nsubmission = [\"127.0.0.1:0\"]\nsubmissions = [\"127.0.0.1:0\"]\n")
	doors, err := openDoors(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	handed := fmt.Sprint(os.Getpid())
	for _, d := range doors {
		s, err := keepSocket(d.socketName(), d.Listener)
		if err != nil {
			t.Fatal(err)
		}
		handed += fmt.Sprintf(" %s=%d", s.name, s.fd)
	}
	if err := closeDoors(doors); err != nil {
		t.Fatal(err)
	}
	waiting := make([]net.Conn, len(doors))
	for i, d := range doors {
		if waiting[i], err = net.Dial("tcp", d.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer waiting[i].Close()
	}

	passed, err := takeSockets(func(v string) string { return map[string]string{handedOver: handed}[v] })
	if err != nil {
		t.Fatal(err)
	}
	next, err := openDoors(c, passed)
	if err != nil {
		t.Fatal(err)
	}
	defer closeDoors(next)
	for i, d := range next {
		if d.Addr().String() != doors[i].Addr().String() || d.Implicit != doors[i].Implicit || !d.Passed {
			t.Errorf("got %+v, want %+v", d, doors[i])
		}
		in, err := d.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if in.RemoteAddr().String() != waiting[i].LocalAddr().String() {
			t.Errorf("%v was let in, %v waited", in.RemoteAddr(), waiting[i].LocalAddr())
		}
		in.Close()
	}
}

func TestPassedDescriptorsThatAreNoSockets(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	fd, err := unix.FcntlInt(r.Fd(), unix.F_DUPFD_CLOEXEC, firstPassed)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%d submission=%d", os.Getpid(), fd)
	_, err = takeSockets(func(v string) string { return map[string]string{handedOver: text}[v] })
	if err == nil || !strings.Contains(err.Error(), "passed as submission is no listening socket") {
		t.Errorf("got %v", err)
	}
}
