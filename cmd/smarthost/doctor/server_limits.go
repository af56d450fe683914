package doctor

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// filesWarning is the least limit of open files that is passed over: each connection takes one.
const filesWarning = 4096

// A process is what the system tells of the running server.
type process struct {
	id    int
	files uint64 // the limit of open files
	root  bool
}

func (v *visit) checkLimits(context.Context) []Finding {
	if p, ok := v.running(); ok {
		return judgeProcess(p, v.MaxConnections)
	}
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		return []Finding{{Check: "limits", Level: Note, What: "the limit of open files cannot be read: " + err.Error(), Why: "each connection takes an open file", Do: "ulimit -n shows it"}}
	}
	f := judgeFiles(own.Max, v.MaxConnections)
	f.What += " (of this process; a service manager may give the server another)"
	return []Finding{f}
}

// running reads the id of the server's process from the lock of the queue, and from the system what it says of that process.
func (v *visit) running() (p process, ok bool) {
	text, err := os.ReadFile(filepath.Join(v.queueFolder(), "lock"))
	if err != nil || len(text) > 20 {
		return p, false
	}
	if p.id, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil || p.id <= 0 {
		return p, false
	}
	folder := filepath.Join("/proc", strconv.Itoa(p.id))
	name, err := os.ReadFile(filepath.Join(folder, "comm"))
	if err != nil || strings.TrimSpace(string(name)) != "smarthost" {
		return p, false // it has ended, and the id may be another's by now
	}
	if p.files, ok = fileLimit(filepath.Join(folder, "limits")); !ok {
		return p, false
	}
	p.root = effectiveRoot(filepath.Join(folder, "status"))
	return p, true
}

// fileLimit reads the soft limit of open files; Go has raised it to the hard one when the server began.
func fileLimit(file string) (uint64, bool) {
	line, ok := lineOf(file, "Max open files")
	fields := strings.Fields(line)
	if !ok || len(fields) == 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(fields[0], 10, 64)
	return n, err == nil
}

func effectiveRoot(file string) bool {
	line, ok := lineOf(file, "Uid:")
	fields := strings.Fields(line)
	return ok && len(fields) > 1 && fields[1] == "0"
}

// lineOf returns what follows the beginning of a line.
func lineOf(file, beginning string) (string, bool) {
	f, err := os.Open(file)
	if err != nil {
		return "", false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), beginning); ok {
			return rest, true
		}
	}
	return "", false
}

func judgeProcess(p process, connections int) []Finding {
	found := []Finding{judgeFiles(p.files, connections)}
	if p.root {
		found = append(found, Finding{Check: "limits", Level: Warning, What: fmt.Sprintf("the server (process %d) runs as root", p.id),
			Why: "a fault in it would be one of the whole machine", Do: "run it as a user of its own; ports below 1024 need only CAP_NET_BIND_SERVICE. deploy/smarthost.service shows how"})
	}
	return found
}

func judgeFiles(files uint64, connections int) Finding {
	f := Finding{Check: "limits", What: fmt.Sprintf("at most %d open files", files), Detail: map[string]any{"files": files},
		Why: "each connection takes one; when they are used up, clients have to wait", Do: "LimitNOFILE=65536 in the unit, or ulimit -n 65536 before the start"}
	switch {
	case files < filesWarning:
		f.Level = Warning
	case connections > 0 && files < uint64(connections):
		f.Level = Note
		f.What += fmt.Sprintf(", for listen.max_connections = %d", connections)
	default:
		f.Why, f.Do = "", ""
	}
	return f
}
