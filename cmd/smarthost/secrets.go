package main

import (
	"net/url"
	"os"
	"slices"
)

// exposed are the files with secrets that every user of this machine can read: the config if a password or a webhook's secret stands in it, the relay's
// password, the key, the accounts. They are warned of and not refused, because containers are handed their secrets like that.
func exposed(env *environment, c *Config) []string {
	files := []string{c.Forward.RelayPasswordFile, c.TLS.Key, c.userFile()}
	switch file := env.Getenv(variable("forward.relay") + "_FILE"); {
	case file != "":
		files = append(files, file)
	case env.Getenv(variable("forward.relay")) == "" && holdsPassword(c.Forward.Relay):
		files = append(files, c.File)
	}
	for _, w := range c.Webhooks {
		if w.SecretFile != "" {
			files = append(files, w.SecretFile)
		} else if !slices.Contains(files, c.File) {
			files = append(files, c.File)
		}
	}
	var open []string
	for _, file := range files {
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o004 != 0 {
			open = append(open, file)
		}
	}
	return open
}

func holdsPassword(relay string) bool {
	u, err := url.Parse(relay)
	if err != nil {
		return false
	}
	_, is := u.User.Password()
	return is
}

func (s *service) warnOfExposed(env *environment) {
	for _, file := range exposed(env, s.Config) {
		s.Log.Warn().Str("file", file).Msg("every user of this machine can read this file, which holds secrets; chmod o-r it")
	}
}
