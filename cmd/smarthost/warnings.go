package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rs/zerolog"
)

// warnAtStart says what makes this server less safe than it could be. None of it is refused: there are reasons for each.
func (s *service) warnAtStart(env *environment) {
	if os.Geteuid() == 0 {
		s.Log.Warn().Msg("this server runs as root and needs it for nothing; give it a user of its own (the systemd unit, the package and the container image do)")
	}
	switch system := fileSystem(s.Config.Data); system {
	case "overlay", "fuse.fuse-overlayfs", "aufs":
		s.Log.Warn().Str("data", s.Config.Data).Str("file_system", system).Msg("the data folder lies in the container itself, and its mail goes when the container is replaced; mount a volume there")
	case "tmpfs", "ramfs":
		s.Log.Warn().Str("data", s.Config.Data).Str("file_system", system).Msg("the data folder lies in memory, and its mail goes when the power does; put it on a disk")
	}
	for _, stray := range s.Config.stray {
		s.Log.Warn().Msg(stray)
	}
	s.warnOfExposed(env)
}

// warnOfUnused tells of addresses that somebody wrote into the config and that sockets stand in for which were passed.
func warnOfUnused(c *Config, doors []*door, log zerolog.Logger) {
	passed := map[string][]string{}
	for _, d := range doors {
		if d.Passed {
			passed[d.socketName()] = append(passed[d.socketName()], d.Port())
		}
	}
	for name, addresses := range map[string][]string{"submission": c.Listen.Submission, "submissions": c.Listen.Submissions} {
		for _, address := range addresses {
			_, port, _ := net.SplitHostPort(address)
			if c.given["listen."+name] != "" && passed[name] != nil && !slices.Contains(passed[name], port) {
				log.Warn().Str("address", address).Strs("ports", passed[name]).Msg("nobody listens at this address of listen." + name +
					": the ports are those of the sockets that were passed; change ListenStream= in the socket unit, or restart after a hand-over")
			}
		}
	}
}

// fileSystem is the type of the file system that a folder is on, as mount(8) names it; "" if that cannot be found out.
func fileSystem(folder string) string {
	folder, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return ""
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return ""
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	return mountedAt(f, folder)
}

// mountedAt finds the mount that shows a folder, in the lines of proc_pid_mountinfo(5): the deepest one, and of those the last.
func mountedAt(mounts io.Reader, folder string) (system string) {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	deepest := ""
	lines := bufio.NewScanner(mounts)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		where, what, found := strings.Cut(lines.Text(), " - ")
		fields, types := strings.Fields(where), strings.Fields(what)
		if !found || len(fields) < 5 || len(types) == 0 {
			continue
		}
		point := unescape.Replace(fields[4])
		inside := point == "/" || folder == point || strings.HasPrefix(folder, point+"/")
		if inside && len(point) >= len(deepest) {
			deepest, system = point, types[0]
		}
	}
	return system
}
