package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenFiles(t *testing.T) {
	for _, c := range []struct {
		files       uint64
		connections int
		want        string
	}{
		{65536, 20000, "good limits: at most 65536 open files"},
		{1024, 20000, "warning limits: at most 1024 open files"},
		{1024, 100, "warning limits: at most 1024 open files"},
		{4096, 20000, "note limits: at most 4096 open files, for listen.max_connections = 20000"},
		{4096, 0, "good limits: at most 4096 open files"},
	} {
		shows(t, []Finding{judgeFiles(c.files, c.connections)}, c.want)
	}
	shows(t, judgeProcess(process{id: 7, files: 65536, root: true}, 0), "good limits: ", "warning limits: the server (process 7) runs as root")
	shows(t, judgeProcess(process{id: 7, files: 65536}, 0), "good limits: ")
}

func TestLimitsWithoutServer(t *testing.T) {
	v := visitTo(t, Server{Data: t.TempDir()}, zone{}, nil)
	found := v.checkLimits(t.Context())
	if len(found) != 1 || !strings.Contains(found[0].What, "(of this process;") {
		t.Errorf("%+v", found)
	}
}

// The lock names a process; if that is no smarthost, the server has ended.
func TestRunningServerIsFound(t *testing.T) {
	v := visitTo(t, Server{Data: t.TempDir()}, zone{}, nil)
	if err := os.Mkdir(v.queueFolder(), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintln(os.Getpid()), "-1\n", "x\n", strings.Repeat("1", 30), "0", ""} {
		if err := os.WriteFile(filepath.Join(v.queueFolder(), "lock"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if p, ok := v.running(); ok {
			t.Errorf("%q: %+v", text, p)
		}
	}
}

func TestProcessFiles(t *testing.T) {
	folder := t.TempDir()
	limits, status := filepath.Join(folder, "limits"), filepath.Join(folder, "status")
	put := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(limits, "Limit                     Soft Limit           Hard Limit           Units\nMax processes             1                    1                    processes\nMax open files            65536                524288               files\n")
	if n, ok := fileLimit(limits); n != 65536 || !ok {
		t.Error(n, ok)
	}
	put(limits, "Max processes 1 1 processes\n")
	if n, ok := fileLimit(limits); ok {
		t.Error(n)
	}
	for text, want := range map[string]bool{"Name:\tsmarthost\nUid:\t0\t0\t0\t0\n": true, "Uid:\t0\t998\t998\t998\n": false, "Uid:\t998\t0\t0\t0\n": true, "": false} {
		put(status, text)
		if got := effectiveRoot(status); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}
