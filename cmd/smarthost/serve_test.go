package main

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// A reload that waits for a disk that does not answer must not keep the server from stopping in good order.
func TestStopDuringAReloadThatHangs(t *testing.T) {
	data := t.TempDir()
	c := wired(t, "hostname = \"mx.example.org\"\ndata = \""+data+"\"\n[listen]\nsubmission = [\"127.0.0.1:0\"]\nsubmissions = []\n")
	s := serviceOf(t, c, zerolog.Nop())
	doors, err := openDoors(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(data, "users") // to open one that nobody writes to takes for ever
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if f, err := os.OpenFile(fifo, os.O_RDWR, 0); err == nil { // lets go who waits
			f.Close()
		}
	})
	env := testEnvironment(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	env.Context = ctx
	hangup, stopped := make(chan os.Signal), make(chan error, 1)
	go func() { stopped <- s.run(env, doors, hangup, nil) }()
	hangup <- syscall.SIGHUP
	stop()
	select {
	case err := <-stopped:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the server does not stop")
	}
}
