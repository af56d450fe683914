package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDataFolder(t *testing.T) {
	data := t.TempDir()
	if err := os.Chmod(data, 0o700); err != nil {
		t.Fatal(err)
	}
	v := visitTo(t, Server{Data: data}, zone{}, nil)
	found := v.checkData(t.Context())
	if len(found) != 4 || found[0].Level != Good || found[0].Check != "data" || found[1].Check != "file system" || found[2].Check != "space" || found[3].Check != "disk" {
		t.Errorf("%+v", found)
	}
	// The measurement leaves nothing behind.
	if left, err := os.ReadDir(data); len(left) > 0 || err != nil {
		t.Error(left, err)
	}
	// The queue may be on a disk of its own.
	if err := os.Mkdir(filepath.Join(data, "queue"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range v.checkData(t.Context())[1:] {
		if f.Where != filepath.Join(data, "queue") {
			t.Errorf("looked at %s", f.Where)
		}
	}
	if err := os.Chmod(data, 0o705); err != nil {
		t.Fatal(err)
	}
	shows(t, v.checkData(t.Context())[:1], "warning data: other users of this machine may enter it (mode 0705)")
}

func TestDataFolderThatIsNotThere(t *testing.T) {
	data := filepath.Join(t.TempDir(), "a", "b")
	v := visitTo(t, Server{Data: data}, zone{}, nil)
	found := v.checkData(t.Context())
	shows(t, found[:1], "note data: "+data+" the folder is not there yet")
	if len(found) != 3 || found[1].Where != filepath.Dir(filepath.Dir(data)) {
		t.Errorf("%+v", found)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("it was made")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	v = visitTo(t, Server{Data: file}, zone{}, nil)
	shows(t, v.checkData(t.Context()), "problem data: it is not a folder")
}

func TestFileSystem(t *testing.T) {
	for want, s := range map[string]fileSystem{
		"good file system: ext4 keeps what is synced":                {"ext4", fit},
		"problem file system: /d the file system is overlay":         {"overlay", ofContainer},
		"problem file system: /d the file system is tmpfs":           {"tmpfs", inMemory},
		"problem file system: /d the file system is nfs":             {"nfs", overNetwork},
		"warning file system: /d the file system is fuse":            {"fuse", doubtful},
		"note file system: /d the file system is of a kind that is ": {},
	} {
		shows(t, []Finding{judgeFileSystem("/d", s)}, want)
	}
	for fit, words := range map[fitness]string{ofContainer: "volume", inMemory: "restart", overNetwork: "locks"} {
		if f := judgeFileSystem("/d", fileSystem{"x", fit}); !strings.Contains(f.Why+f.Do, words) {
			t.Errorf("%+v", f)
		}
	}
}

func TestSpace(t *testing.T) {
	for want, d := range map[string]disk{
		"good space: 2.0 GiB free":                   {free: 2 << 30, inodes: 5000, freeInodes: 4000},
		"good space: 3.0 GiB free":                   {free: 3 << 30}, // btrfs has no fixed number of inodes
		"warning space: 1023 MiB free":               {free: 1<<30 - 1},
		"problem space: 63 MiB free":                 {free: 64<<20 - 1},
		"warning space: 2.0 GiB free, and 1 inode":   {free: 2 << 30, inodes: 5000, freeInodes: 1},
		"problem space: 2.0 GiB free, and 0 inodes":  {free: 2 << 30, inodes: 5000},
		"problem space: 10 MiB free, and 999 inodes": {free: 10 << 20, inodes: 5000, freeInodes: 999},
	} {
		shows(t, []Finding{judgeSpace("/d", d)}, want)
	}
}

func TestDiskSpeed(t *testing.T) {
	for want, took := range map[string]time.Duration{
		"good disk: a write is on the disk after 1.20 ms":        1200 * time.Microsecond,
		"warning disk: a write is on the disk after 51.00 ms":    51 * time.Millisecond,
		"note disk: after 0.02 ms, which is faster than disks ":  20 * time.Microsecond,
		"good disk: /d a write is on the disk after 0.03 ms":     30 * time.Microsecond,
		"good disk: /d a write is on the disk after 50.00 ms":    50 * time.Millisecond,
		"warning disk: /d a write is on the disk after 50.00 ms": 50*time.Millisecond + 1,
	} {
		shows(t, []Finding{judgeWrites("/d", took)}, want)
	}
	if took, err := measureWrites(t.TempDir()); err != nil || took <= 0 {
		t.Error(took, err)
	}
	if _, err := measureWrites("/nowhere"); err == nil {
		t.Error("wrote nowhere")
	}
}
