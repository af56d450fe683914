package doctor

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

const nobody = 65534

// asNobody runs f in a thread that has no rights to the files of others, whoever runs the test.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := unix.SetfsuidRetUid(nobody)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Setfsuid(before)
	f()
}

// What this user may not read is not said to be wrong.
func TestFilesOfOthers(t *testing.T) {
	data := t.TempDir()
	file := accountsFile(t, []string{"*"})
	cert, key := writePair(t, (*issuer)(nil).issue(t, "mx.example.org", false, written, written.AddDate(10, 0, 0)))
	v := visitTo(t, Server{Data: data, Accounts: file, Certificate: cert, Key: key}, zone{}, nil)
	for _, folder := range []string{v.queueFolder(), v.Data} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(folder, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{file, cert, key} {
		if err := os.Chmod(name, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(data), 0o755); err != nil { // testing keeps it from others
		t.Fatal(err)
	}
	defer os.Chmod(data, 0o700) // for whoever removes it
	asNobody(t, func() {
		shows(t, v.checkCertificate(t.Context()), "warning certificate: this user may not read it")
		shows(t, v.checkQueue(t.Context()), "warning queue: this user may not read it")
		shows(t, v.checkAccounts(t.Context()), "warning accounts: this user may not read it")
		found := v.checkData(t.Context())
		shows(t, found[len(found)-1:], "note disk: this user may not write there")
		v.Data += "/below"
		shows(t, v.checkData(t.Context()), "warning data: this user may not read it")
	})
}

// A file system in memory has no speed of a disk.
func TestMemoryIsNotMeasured(t *testing.T) {
	data, err := os.MkdirTemp("/dev/shm", "doctor-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(data)
	v := visitTo(t, Server{Data: data}, zone{}, nil)
	shows(t, v.checkData(t.Context()), "good data: belongs to", "problem file system: tmpfs", "good space: ")
}

// /dev/shm and /proc are what they are on every Linux.
func TestFileSystemIsRead(t *testing.T) {
	d, err := readDisk("/dev/shm")
	if err != nil || d.system != (fileSystem{"tmpfs", inMemory}) {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err := readDisk("/proc"); err != nil || d.system != (fileSystem{}) {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := readDisk("/nowhere"); err == nil {
		t.Error("a folder that is not there has a file system")
	}
}
