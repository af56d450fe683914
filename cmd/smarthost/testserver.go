//go:build !notestserver

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/server/capture"
	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// A testServer is a test server that runs, with what leads to it.
type testServer struct {
	*smarthosttest.Server
	user   smarthosttest.User // the first one
	host   string             // by which clients reach it
	url    string             // of pages and API
	files  testFiles
	export string // folder of the files; "" is none
	log    zerolog.Logger

	stopPages context.CancelFunc
	pages     sync.WaitGroup
	pagesErr  error         // why pages and API have ended
	pagesEnd  chan struct{} // closed when they have
}

// startTest starts the server and writes its files to export, if that is not "".
func startTest(env *environment, f testFlags, export string, log zerolog.Logger) (*testServer, error) {
	c, err := f.settings(env)
	if err != nil {
		return nil, err
	}
	rules, err := f.rules()
	if err != nil {
		return nil, err
	}
	if export != "" {
		if err := unready(export); err != nil { // of one that was killed
			return nil, err
		}
	}
	c.Log = log
	s := &testServer{user: smarthosttest.DefaultUser, export: export, log: log, stopPages: func() {}, pagesEnd: make(chan struct{})}
	if len(c.Users) > 0 {
		s.user = c.Users[0]
	}
	if s.Server, err = smarthosttest.Start(c); err != nil {
		return nil, err
	}
	if err := s.complete(env, f, rules); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// complete gives the server its rules, its files, and its pages and API.
func (s *testServer) complete(env *environment, f testFlags, rules []smarthosttest.Rule) error {
	if err := s.SetRules(rules...); err != nil {
		return usageError("test: --script: " + err.Error())
	}
	l, err := net.Listen("tcp", f.http)
	if err != nil {
		return err
	}
	s.host = testHost(s.Addr, f.hosts)
	s.url = "http://" + net.JoinHostPort(testHost(l.Addr().String(), f.hosts), portOf(l.Addr().String()))
	if s.export != "" { // before /readyz says yes; who comes earlier waits at the listener
		if err := s.writeFiles(env); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	s.servePages(l, f.hosts)
	return nil
}

// servePages serves pages and API, until close.
func (s *testServer) servePages(l net.Listener, hosts []string) {
	ctx, stop := context.WithCancel(context.Background())
	s.stopPages = stop
	pages := &capture.Server{Mail: s.Server, Hosts: hosts, Log: s.log}
	s.pages.Go(func() {
		defer close(s.pagesEnd)
		s.pagesErr = pages.Run(ctx, l)
	})
}

// close ends the server. Its ready.json goes first.
func (s *testServer) close() error {
	var err error
	if s.export != "" {
		err = unready(s.export)
	}
	s.stopPages()
	s.pages.Wait()
	return errors.Join(err, s.pagesErr, s.Server.Close())
}

// testHost is the name or address by which clients reach who listens at addr.
func testHost(addr string, hosts []string) string {
	host, _, _ := net.SplitHostPort(addr)
	switch ip := net.ParseIP(host); {
	case ip == nil || !ip.IsUnspecified():
		return host
	case len(hosts) > 0:
		return hosts[0]
	}
	return "127.0.0.1"
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// testServe runs a test server until the environment's context ends.
func testServe(env *environment, f testFlags) error {
	s, err := startTest(env, f, f.export, newLog(env.Stderr, "auto"))
	if err != nil {
		return err
	}
	s.tell(env.Stdout)
	select {
	case <-env.Context.Done():
	case <-s.pagesEnd:
	}
	return s.close()
}

// tell writes the screen: where the server is, and what sends a first mail.
func (s *testServer) tell(w io.Writer) {
	fmt.Fprintf(w, "\nsmarthost test runs. It keeps what it is sent, and relays nothing.\n    STARTTLS  %s\n    TLS       %s\n    pages     %s/\n",
		s.at(s.Addr), s.at(s.TLSAddr), s.url)
	for _, u := range s.Users() {
		fmt.Fprintf(w, "    user      %s, password %s, may send as %s\n", u.Name, u.Password, testSenders(u))
	}
	ca, fetch := s.files.CA, ""
	if ca == "" {
		ca, fetch = "ca.pem", "curl --silent --output ca.pem "+s.url+"/ca.pem && "
		fmt.Fprintf(w, "    CA        %s/ca.pem\n", s.url)
	} else {
		fmt.Fprintf(w, "    CA        %s\n    variables set -a; . %s; set +a\n", ca, shellWord(s.files.Env))
	}
	fmt.Fprintf(w, "Send a mail:\n    %sswaks --server %s --port %s -tls --tls-verify --tls-ca-path %s --auth PLAIN --auth-user %s --auth-password %s --from %s --to bob@example.net\n\n",
		fetch, s.host, portOf(s.Addr), shellWord(ca), shellWord(s.user.Name), shellWord(s.user.Password), shellWord(s.sender()))
}

// sender is an address that the first user may send as.
func (s *testServer) sender() string {
	for _, pattern := range s.user.Senders {
		if !strings.HasPrefix(pattern, "*") {
			return pattern
		}
		if _, domain, ok := strings.Cut(pattern, "@"); ok {
			return "app@" + domain
		}
	}
	if strings.Contains(s.user.Name, "@") {
		return s.user.Name
	}
	return s.user.Name + "@example.com"
}

func testSenders(u smarthosttest.User) string {
	switch {
	case len(u.Senders) == 0:
		return u.Name
	case len(u.Senders) == 1 && u.Senders[0] == "*":
		return "anybody"
	}
	return strings.Join(u.Senders, ", ")
}
