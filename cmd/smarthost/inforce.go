package main

import (
	"fmt"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/server/admin"
)

// reloadable are the keys that a reload puts in force; the classes of limits do, too. All others need a restart.
var reloadable = []string{
	"listen.drain",
	"submission.unauthenticated", "submission.help", "submission.max_recipients", "submission.duplicate_window", "submission.client_address",
	"forward.relay", "forward.relay_password_file", "forward.ca", "forward.allow_loopback", "forward.family", "forward.retry", "forward.give_up",
	"digest.to", "digest.at",
}

// paths are the keys whose values are files or folders.
var paths = []string{"data", "tls.certificate", "tls.key", "tls.acme_ca", "forward.ca", "forward.relay_password_file"}

// requireTLSKey stands among the keys for what follows from forward.relay and does not change with it.
const requireTLSKey = "forward.relay, for REQUIRETLS (RFC 8689)"

// field is where the value of a key is: listen.max_connections is in Listen.MaxConnections. It is not valid if there is no such place.
func (c *Config) field(key string) reflect.Value {
	v := reflect.ValueOf(c).Elem()
	for part := range strings.SplitSeq(key, ".") {
		part = strings.ReplaceAll(part, "_", "")
		v = v.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, part) })
		if !v.IsValid() {
			break
		}
	}
	return v
}

// values lists all keys with their values, for people: without logins. requireTLS tells that REQUIRETLS is offered.
func (c *Config) values(requireTLS bool) []admin.Setting {
	var list []admin.Setting
	for _, s := range settings {
		list = append(list, admin.Setting{Key: s.key, Value: inWords(s.key, c.field(s.key).Interface()), Reloads: slices.Contains(reloadable, s.key)})
		if s.key == "forward.relay" {
			list = append(list, admin.Setting{Key: requireTLSKey, Value: fmt.Sprint(requireTLS)})
		}
	}
	for name, class := range c.Limits {
		for i, rate := range []fmt.Stringer{class.Messages, class.Recipients, class.Bytes} {
			list = append(list, admin.Setting{Key: limitKeys(name)[i], Value: fmt.Sprintf("%q", short(rate.String())), Reloads: true})
		}
	}
	for name, w := range c.Webhooks {
		list = append(list, admin.Setting{Key: "webhooks." + name, Value: w.String()})
	}
	first := len(settings) + 1
	slices.SortFunc(list[first:], func(a, b admin.Setting) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// inWords writes a value as the config would, but without the relay's login, and paths in full.
func inWords(key string, value any) string {
	switch v := value.(type) {
	case string:
		if key == "forward.relay" {
			v = withoutLogin(v)
		}
		if abs, err := filepath.Abs(v); err == nil && v != "" && slices.Contains(paths, key) {
			v = abs
		}
		return fmt.Sprintf("%q", v)
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = fmt.Sprintf("%q", s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case []time.Duration:
		list := make([]string, len(v))
		for i, d := range v {
			list[i] = short(d.String())
		}
		return inWords(key, list)
	case fmt.Stringer:
		return fmt.Sprintf("%q", short(v.String()))
	}
	return fmt.Sprint(value)
}

// short leaves out of a duration, such as 1h0m0s, what is zero at its end.
func short(d string) string {
	if strings.HasSuffix(d, "m0s") {
		d = strings.TrimSuffix(d, "0s")
	}
	if strings.HasSuffix(d, "h0m") {
		d = strings.TrimSuffix(d, "0m")
	}
	return d
}

// withoutLogin hides user and password.
func withoutLogin(relay string) string {
	u, err := url.Parse(relay)
	if err != nil {
		return "***"
	}
	if u.User == nil {
		return relay
	}
	u.User = nil
	return strings.Replace(u.String(), "://", "://***@", 1)
}

// A change is a key whose value differs.
type change struct {
	Key, Old, New string // "" if there is none
	Reloads       bool
}

// changes lists what is different in new.
func changes(old, new []admin.Setting) (list []change) {
	before := map[string]string{}
	for _, s := range old {
		before[s.Key] = s.Value
	}
	for _, s := range new {
		if before[s.Key] != s.Value {
			list = append(list, change{s.Key, before[s.Key], s.Value, s.Reloads})
		}
		delete(before, s.Key)
	}
	for _, s := range old { // what is left was taken out: a class of limits
		if value, gone := before[s.Key]; gone {
			list = append(list, change{s.Key, value, "", s.Reloads})
		}
	}
	return list
}

// keepFixed gives c the values of the running config that a reload does not change, so that c is what is in force.
func (c *Config) keepFixed(running *Config) {
	for _, s := range settings {
		if !slices.Contains(reloadable, s.key) {
			c.field(s.key).Set(running.field(s.key))
		}
	}
	c.Webhooks = running.Webhooks
}
