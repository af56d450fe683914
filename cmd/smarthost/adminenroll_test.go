package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// A device that is made by a page is what smarthost enroll makes; what is wrong makes none.
func TestEnrolmentByAPage(t *testing.T) {
	c := wired(t, "hostname = \"mx.example.org\"\ndata = \""+t.TempDir()+"\"\n")
	s := serviceOf(t, c, zerolog.Nop())
	if _, err := addLogin(c, auth.Login{Account: auth.Account{Name: "alice", Senders: []string{"alice@example.org"}}}); err != nil {
		t.Fatal(err)
	}
	e := s.adminEnrolment()
	if len(e.Clients) < 15 {
		t.Errorf("there are %v", e.Clients)
	}
	made, text, err := e.Make(t.Context(), "exim4", admin.NewDevice{User: "Alice", Device: "laptop", Expires: "90d"})
	if err != nil || made.User != "alice" || made.Device != "laptop" || made.Password == "" || !strings.Contains(text, made.Password) || !strings.Contains(text, "mx.example.org") {
		t.Errorf("%v, %v\n%s", made, err, text)
	}
	for name, d := range map[string]admin.NewDevice{
		"exim4":  {User: "alice", Device: "laptop"}, // is there already
		"exim":   {User: "alice", Device: "other"},  // no such client
		"msmtp":  {User: "nobody", Device: "other"}, // no such account
		"env":    {User: "alice", Device: "a/b"},    // no name of a device
		"nullm":  {User: "alice", Device: ""},       // none
		"mail":   {User: "alice", Device: "x", Expires: "yesterday"},
		"python": {User: "alice", Device: "x", Networks: []string{"everywhere"}},
	} {
		_, text, err := e.Make(t.Context(), name, d)
		f, ok := errors.AsType[*admin.Fault](err)
		if !ok || f.Status != 400 || f.What == "" || text != "" {
			t.Errorf("%s %+v: %v %q", name, d, err, text)
		}
	}
	if users, err := (adminAccounts{s}).Users(t.Context(), "alice"); err != nil || len(users[0].Devices) != 2 {
		t.Errorf("%v %v", users, err)
	}
}

// What is plotted is found among the metrics, but what only counts while the server runs.
func TestCounts(t *testing.T) {
	s := serviceOf(t, wired(t, "hostname = \"mx.example.org\"\ndata = \""+t.TempDir()+"\"\n"), zerolog.Nop())
	families, err := s.Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, f := range families {
		there[f.GetName()] = true
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				there[f.GetName()+"/"+l.GetValue()] = true
			}
		}
	}
	for _, name := range []string{"smarthost_queue_deliveries", "smarthost_recipient_results_total/delivered",
		"smarthost_recipient_results_total/deferred", "smarthost_recipient_results_total/failed"} {
		if !there[name] {
			t.Errorf("there is no %s", name)
		}
	}
	if c, err := s.counts(t.Context()); err != nil || c != (admin.Counts{}) {
		t.Errorf("%+v, %v", c, err)
	}
}
