package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

// lookEvery is how often it is looked whether files have changed. What has changed is read when it was the same at two looks and nobody
// has it open who writes it, so that nothing is read that is half of something.
const lookEvery = time.Second

// restless is after how many looks, each of which found another change, files are read although they are never at rest.
const restless = 30

// fileWatch notices that the files that a reload reads have changed. Only who reloads uses it.
type fileWatch struct {
	named *Config           // the last config that could be read, though it may not be in force: it names files
	taken map[string]string // what each of them looked like when it was last read
	last  map[string]string // what they looked like at the look before, the accounts too
	moved int               // looks in a row that found a change
	slow  bool              // a writer keeps a file open, and the log has said so
}

// watch begins with the files as they are.
func (s *service) watch(env *environment) {
	s.files = fileWatch{named: s.Config}
	s.files.taken = s.look(env)
	s.writers.watch(append(slices.Collect(maps.Keys(s.files.taken)), s.Users.Path))
}

// changed looks at the files. It tells that they are others than those that were read, and do not change at this moment. The
// accounts look for themselves.
func (s *service) changed(ctx context.Context, env *environment) bool {
	now := s.look(env)
	changed := !maps.Equal(now, s.files.taken)
	now[s.Users.Path] = lookAt(s.Users.Path)
	s.writers.watch(slices.Collect(maps.Keys(now)))
	s.Users.Logins(ctx, "nobody") // which reads them if they have changed; what is wrong is in the log
	quiet := maps.Equal(now, s.files.last)
	s.files.last = now
	if s.files.moved++; !quiet && s.files.moved <= restless {
		return false
	}
	s.files.moved = 0
	unfinished := s.unfinished()
	if len(unfinished) > 0 && !s.files.slow {
		s.Log.Error().Strs("files", unfinished).Msg("somebody has begun to write these files and keeps them open; the old ones stay in force until that has ended")
	}
	s.files.slow = len(unfinished) > 0
	return changed && !s.held(unfinished)
}

// held tells that a reload has to wait for files that are being written. Accounts wait by themselves, and hold up nothing else: a
// certificate would expire meanwhile.
func (s *service) held(unfinished []string) bool {
	return slices.ContainsFunc(unfinished, func(file string) bool { return !s.isAccounts(file) })
}

// unfinished are the files that somebody has begun to write and neither goes on with nor closes. Health tells of them.
func (s *service) unfinished() (list []string) {
	for file := range s.files.last {
		if s.writers.writing(file) {
			list = append(list, file)
		}
	}
	slices.Sort(list)
	s.unwritten.Store(&list)
	return list
}

// unwrittenText says that some of these files wait for their writer; "" if none does.
func (s *service) unwrittenText(among func(file string) bool) string {
	if list := s.unwritten.Load(); list == nil || !slices.ContainsFunc(*list, among) {
		return ""
	}
	return "somebody has begun to write a file of it and keeps that open, and the one before goes on until that has ended; the log names it"
}

func (s *service) isAccounts(file string) bool { return file == s.Users.Path }

func (s *service) isCertificate(file string) bool {
	return file == s.Certificates.CertFile || file == s.Certificates.KeyFile
}

func (s *service) isConfig(file string) bool { return !s.isAccounts(file) && !s.isCertificate(file) }

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
