package server

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSettingsDefaults(t *testing.T) {
	want := Settings{Unauthenticated: Grace, MaxRecipients: 200, DuplicateWindow: time.Hour}
	if diff := cmp.Diff(want, *new(Server).current()); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	err := Settings{
		Unauthenticated: "maybe",
		Help:            "call me",
		MaxRecipients:   99,
		DuplicateWindow: 31 * 24 * time.Hour,
	}.Validate()
	if err == nil {
		t.Fatal("no fault was found")
	}
	for _, part := range []string{`unauthenticated is "maybe"`, `help is "call me"`, "max recipients is 99", "duplicate window is 744h"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

// A wrong change leaves the old settings in force (checklist 114 is shown on the program).
func TestConfigureChangesAllOrNothing(t *testing.T) {
	var s Server
	good := Settings{Unauthenticated: Defer, Help: "https://example.org/mail", MaxRecipients: 100, DuplicateWindow: -1}
	if err := s.Configure(good); err != nil {
		t.Fatal(err)
	}
	if err := s.Configure(Settings{Unauthenticated: Reject, MaxRecipients: 1}); err == nil {
		t.Fatal("a fault was taken")
	}
	if diff := cmp.Diff(good, *s.current()); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}
