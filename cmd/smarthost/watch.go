package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"time"
)

// lookEvery is how often it is looked whether files have changed. What has changed is read when it was the same at two looks, so that
// nothing is read that is still being written.
const lookEvery = time.Second

// fileWatch notices that the files that a reload reads have changed. Only who reloads uses it.
type fileWatch struct {
	named *Config           // the last config that could be read, though it may not be in force: it names files
	taken map[string]string // what each of them looked like when it was last read
	last  map[string]string // what they looked like at the look before
}

// watch begins with the files as they are.
func (s *service) watch(env *environment) {
	s.files = fileWatch{named: s.Config}
	s.files.taken = s.look(env)
}

// changed looks at the files. It tells that they are others than those that were read, and do not change at this moment. The
// accounts look for themselves.
func (s *service) changed(ctx context.Context, env *environment) bool {
	s.Users.Logins(ctx, "nobody") // which reads them if they have changed; what is wrong is in the log
	now := s.look(env)
	quiet := maps.Equal(now, s.files.last)
	s.files.last = now
	return quiet && !maps.Equal(now, s.files.taken)
}

// nowNamed goes on with the files that a config names which was just read, whether or not it is taken.
func (s *service) nowNamed(c *Config, env *environment) {
	s.files.named = c
	before := s.files.taken
	s.files.taken = s.look(env)
	for name := range s.files.taken {
		if look, known := before[name]; known {
			s.files.taken[name] = look
		}
	}
}

// look describes the files that a reload reads, but for the accounts.
func (s *service) look(env *environment) map[string]string {
	c := s.files.named
	names := []string{c.File, c.Forward.RelayPasswordFile, c.Forward.CA, c.TLS.ACMECA}
	if c.File == "" {
		names = append(names, standardFiles...)
	}
	for _, setting := range settings {
		if setting.secret {
			names = append(names, env.Getenv(variable(setting.key)+"_FILE"))
		}
	}
	if s.Certificates.operators() {
		names = append(names, s.Certificates.CertFile, s.Certificates.KeyFile)
	}
	looks := map[string]string{}
	for _, name := range names {
		if name != "" {
			looks[name] = lookAt(name)
		}
	}
	return looks
}

// lookAt describes a file as it is now; that changes when the file does, also by a swapped symbolic link.
func lookAt(name string) string {
	st, err := os.Stat(name)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(st.ModTime().UnixNano(), st.Size(), fileIdentity(st))
}
