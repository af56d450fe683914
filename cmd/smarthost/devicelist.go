package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/auth/userfile"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// listedDevice is a login as device list prints it: as the API tells of it, with the name of its account.
type listedDevice struct {
	Name string `json:"name"`
	admin.Device
}

func deviceList(env *environment, c *Config, name, _ string, f *deviceFlags) error {
	logins, err := readUsers(env, c)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(logins))
	if name != "" {
		if len(logins[name]) == 0 {
			return noSuchAccount(c, logins, name)
		}
		names = []string{name}
	}
	sightings, err := readSightings(c)
	if err != nil {
		fmt.Fprintf(env.Stderr, "smarthost: when devices were last seen is not known: %v\n", err)
	}
	list := []listedDevice{}
	for _, name := range names {
		for _, l := range logins[name] {
			list = append(list, listedDevice{l.Name, deviceOf(l, sightings, time.Now())})
		}
	}
	if f.json {
		e := json.NewEncoder(env.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	if len(list) == 0 {
		fmt.Fprintf(env.Stdout, "there are no accounts in %s; smarthost device add USER DEVICE --sender ADDRESS makes one\n", c.userFile())
		return nil
	}
	return printDevices(env.Stdout, list)
}

// deviceOf is a login with when it was last seen.
func deviceOf(l auth.Login, sightings *auth.Sightings, now time.Time) admin.Device {
	d := admin.Device{
		Device: l.Device, Class: l.Class, OwnLimits: l.OwnLimits,
		Senders: append([]string{}, l.Senders...), Networks: append([]netip.Prefix{}, l.Networks...), // [] in JSON, not null
	}
	if d.Class == "" {
		d.Class = "default"
	}
	if !l.Expires.IsZero() {
		d.Expires, d.Expired = &l.Expires, !now.Before(l.Expires)
	}
	if seen, ok := sightings.Last(l); ok {
		d.LastSeen = &admin.Sighting{At: seen.At, Address: seen.Addr, Hello: seen.Hello}
	}
	return d
}

func printDevices(w io.Writer, list []listedDevice) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tDEVICE\tLIMITS\tMAY SEND AS\tEXPIRES\tFROM\tLAST SEEN")
	for _, d := range list {
		limits, expires, seen := d.Class, "never", "never"
		if d.OwnLimits {
			limits += " (its own)"
		}
		if d.Expires != nil {
			expires = userfile.FormatExpiry(*d.Expires)
		}
		if d.Expired {
			expires = "EXPIRED " + expires
		}
		if d.LastSeen != nil {
			seen = fmt.Sprintf("%s from %s, %s", d.LastSeen.At.Format("2006-01-02 15:04 UTC"), d.LastSeen.Address, d.LastSeen.Hello)
		}
		device := d.Device.Device
		if device == "" {
			device = "-"
		}
		senders := sendersText(auth.Account{Name: d.Name, Senders: d.Senders})
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Name, device, limits, senders, expires, networksText(d.Networks), seen)
	}
	return table.Flush()
}

func networksText(networks []netip.Prefix) string {
	words := make([]string, len(networks))
	for i, n := range networks {
		words[i] = userfile.FormatNetwork(n)
	}
	if len(words) == 0 {
		return "anywhere"
	}
	return strings.Join(words, ", ")
}

// readSightings reads what a server has written down, at most a second ago. They are never nil.
func readSightings(c *Config) (*auth.Sightings, error) {
	sightings := new(auth.Sightings)
	text, err := os.ReadFile(c.stateFile())
	if errors.Is(err, fs.ErrNotExist) {
		return sightings, nil
	}
	var parts map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(text, &parts)
	}
	if part, ok := parts[devicesMemory]; ok && err == nil {
		err = sightings.Restore(part)
	}
	return sightings, err
}
