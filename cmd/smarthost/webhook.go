package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/forward/notify"
	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// A webhook is a table [webhooks.NAME] of the config.
type webhook struct {
	URL, Secret, SecretFile, CA string
	Events, Accounts, Domains   []string
	Private                     bool
}

// String tells two webhooks apart, and shows neither the secret nor the URL's path, which may hold one.
func (w *webhook) String() string {
	shown := *w
	for _, path := range []*string{&shown.SecretFile, &shown.CA} {
		if abs, err := filepath.Abs(*path); err == nil && *path != "" {
			*path = abs
		}
	}
	host := "?"
	if u, err := url.Parse(w.URL); err == nil {
		host = u.Scheme + "://" + u.Host
	}
	mark := sha256.Sum256(fmt.Appendf(nil, "%#v", shown))
	return fmt.Sprintf("%s, settings %x", host, mark[:4])
}

// webhookKeys are the keys of such a table, as `smarthost config` prints them.
var webhookKeys = []struct{ name, example, comment string }{
	{"url", `"https://example.org/mail-events"`, "where events are POSTed"},
	{"secret", `"whsec_…"`, "what signs them: \"whsec_\" and base64, as echo whsec_$(openssl rand -base64 32) makes it"},
	{"secret_file", `""`, "file that holds the secret, if it is not here"},
	{"events", `["queued", "delivered", "deferred", "failed"]`, "which ones"},
	{"accounts", `[]`, "of whose mail; [] = everyone's"},
	{"domains", `[]`, "of mail to which domains; [] = all"},
	{"private", `false`, "the URL may lead to this machine or its network, and be http://"},
	{"ca", `""`, "PEM file of more certificate authorities to trust there"},
}

func splitWebhook(key string) (name, of string, ok bool) {
	parts := strings.Split(key, ".")
	if len(parts) != 3 || parts[0] != "webhooks" {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// setWebhook sets one key of one webhook.
func (c *Config) setWebhook(name, key string, value any) error {
	if !className.MatchString(name) {
		return fmt.Errorf("%q is not the name of a webhook: lower case letters, digits, - and _, at most 32", name)
	}
	w := c.Webhooks[name]
	if w == nil {
		w = new(webhook)
		c.Webhooks[name] = w
	}
	words := func(field *[]string, check func(string) error) error {
		return list(func(*Config) *[]string { return field }, check)(c, value)
	}
	word := func(field *string, check func(string) error) error {
		return text(func(*Config) *string { return field }, check)(c, value)
	}
	switch key {
	case "url":
		return word(&w.URL, func(s string) error { return notify.CheckURL(s, true) })
	case "secret":
		return word(&w.Secret, func(s string) error { return second(notify.ParseSecret(s)) })
	case "secret_file":
		return word(&w.SecretFile, nil)
	case "ca":
		return word(&w.CA, nil)
	case "private":
		return boolean(func(*Config) *bool { return &w.Private })(c, value)
	case "events":
		return words(&w.Events, checkEvent)
	case "accounts":
		return words(&w.Accounts, checkNotEmpty)
	case "domains":
		return words(&w.Domains, checkHostname)
	}
	return errors.New("there is no such key of a webhook; there are url, secret, secret_file, events, accounts, domains, private and ca")
}

func checkEvent(s string) error {
	var names []string
	for _, t := range spool.EventTypes() {
		names = append(names, string(t))
	}
	return oneOf(names...)(s)
}

// completeWebhooks checks what keys say together.
func (c *Config) completeWebhooks() error {
	var faults []error
	folder := filepath.Dir(c.File)
	for _, name := range slices.Sorted(maps.Keys(c.Webhooks)) {
		w := c.Webhooks[name]
		w.SecretFile, w.CA = inFolder(folder, w.SecretFile), inFolder(folder, w.CA)
		key := "webhooks." + name
		of := func(word string) string { return key + "." + word }
		if w.URL == "" {
			faults = append(faults, c.at(fmt.Errorf("%s: url is missing", key), of("secret"), of("secret_file"), of("events"), of("accounts"), of("domains"), of("private"), of("ca")))
		} else if err := notify.CheckURL(w.URL, w.Private); err != nil {
			faults = append(faults, c.at(fmt.Errorf("%s.url: %w", key, err), of("url")))
		}
		faults = append(faults, c.require((w.Secret == "") != (w.SecretFile == ""), key+": give secret or secret_file, one of the two", of("secret_file"), of("secret"), of("url")))
	}
	return errors.Join(faults...)
}

// newHooks reads what the webhooks' files hold.
func newHooks(c *Config) (notify.Hooks, error) {
	var hooks notify.Hooks
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(c.Webhooks)) {
		w, key := c.Webhooks[name], "webhooks."+name
		h := notify.Hook{Name: name, URL: w.URL, Accounts: w.Accounts, Private: w.Private}
		secret := w.Secret
		if w.SecretFile != "" {
			text, err := os.ReadFile(w.SecretFile)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s.secret_file: %w", key, err))
				continue
			}
			secret = strings.TrimSpace(string(text))
		}
		var secretFault, caFault error
		if h.Secret, secretFault = notify.ParseSecret(secret); secretFault != nil {
			faults = append(faults, fmt.Errorf("%s: secret: %w", key, secretFault))
		}
		if h.RootCAs, caFault = readAuthorities(key+".ca", w.CA); caFault != nil {
			faults = append(faults, caFault)
		}
		for _, e := range w.Events {
			h.Types = append(h.Types, spool.EventType(e))
		}
		for _, d := range w.Domains {
			h.Domains = append(h.Domains, strings.ToLower(d))
		}
		hooks = append(hooks, h)
	}
	return hooks, errors.Join(faults...)
}

// How long a webhook is in trouble before and after somebody should look.
const (
	webhookPatience = time.Hour      // that it may take nothing
	webhookMemory   = 24 * time.Hour // since an event was given up or dropped
)

func (s *service) checkWebhooks(context.Context) (admin.State, string) {
	return judgeWebhooks(s.Notifier.Troubles(), s.Spool.Backlogs(), time.Now())
}

func judgeWebhooks(all []notify.Trouble, backlogs map[string]sqlitespool.Backlog, now time.Time) (admin.State, string) {
	var said []string
	for _, t := range all {
		if !t.Since.IsZero() && now.Sub(t.Since) >= webhookPatience {
			said = append(said, fmt.Sprintf("%s has taken nothing for %s", t.Name, now.Sub(t.Since).Round(time.Minute)))
		}
		if !t.GivenUp.IsZero() && now.Sub(t.GivenUp) < webhookMemory {
			said = append(said, fmt.Sprintf("%s was not told of events, the last of them at %s", t.Name, t.GivenUp.UTC().Format("2006-01-02 15:04 UTC")))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(backlogs)) {
		if of := backlogs[name]; !of.LastDropped.IsZero() && now.Sub(of.LastDropped) < webhookMemory {
			said = append(said, fmt.Sprintf("too many events waited, and %d for %s were dropped, the last of them at %s", of.Dropped, name, of.LastDropped.UTC().Format("2006-01-02 15:04 UTC")))
		}
	}
	if len(said) > 0 {
		return admin.Degraded, strings.Join(said, "; ") + "; the log says why"
	}
	return admin.OK, "none has been in trouble for an hour"
}

// webhookStates are what the status tells of webhooks, in the order of the config.
func webhookStates(names []string, all []notify.Trouble, backlogs map[string]sqlitespool.Backlog) []admin.WebhookState {
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.UTC()
		return &t
	}
	states := []admin.WebhookState{}
	for _, name := range names {
		state := admin.WebhookState{Name: name, Waiting: backlogs[name].Waiting, Dropped: backlogs[name].Dropped}
		for _, t := range all {
			if t.Name == name {
				state.Failing, state.GivenUp = at(t.Since), at(t.GivenUp)
			}
		}
		states = append(states, state)
	}
	return states
}

// printWebhooks is the part of the config that has no default.
func printWebhooks(w io.Writer) {
	fmt.Fprint(w, "\n# Who is told by HTTP what becomes of mail. Each is a table of its own, such as [webhooks.example]; they are only in the file, and a change needs a restart.\n")
	for _, k := range webhookKeys {
		fmt.Fprintf(w, "#   %s = %s  # %s\n", k.name, k.example, k.comment)
	}
}
