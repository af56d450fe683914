package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Ports below those that the system gives to clients: waiting for one of these by dialling never connects to itself.
const firstPort, ports = 20000, 10000

// freeAddr is an address of loopback that nobody listens on.
func freeAddr() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(ports)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", fmt.Errorf("no port from %d to %d is free", firstPort, firstPort+ports-1)
}

// startSmarthost builds the binary and runs it as an operator would, with generous limits.
func startSmarthost(ctx context.Context, folder, next string) (*target, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	binary := filepath.Join(folder, "smarthost-binary")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/smarthost").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build (run this from the top of the repository): %w\n%s", err, out)
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(folder, "smarthost.toml")
	text := fmt.Sprintf(`hostname = "bench.example"
data = %q
[listen]
submission = [%q]
submissions = []
per_address = 0
[limits.default]
messages = "10000000/1h"
recipients = "10000000/1h"
bytes = "1000GiB/1h"
[forward]
relay = "smtp://%s?tls=opportunistic"
`, filepath.Join(folder, "data"), addr, next)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	add := exec.CommandContext(ctx, binary, "user", "add", user, "--sender", sender, "--password-stdin", "--config", config)
	add.Stdin = strings.NewReader(password + "\n")
	if out, err := add.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("add the account: %w\n%s", err, out)
	}
	g, err := newGroup("smarthost")
	if err != nil {
		return nil, err
	}
	serve := g.command(binary, "serve", "--config", config)
	serve.Stderr = nil
	log, err := serve.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := serve.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(log)
	for lines.Scan() && !strings.Contains(lines.Text(), `"message":"ready"`) {
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	kept, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	copied := make(chan struct{})
	go func() { // ends with the process; stop waits for it
		defer close(copied)
		io.Copy(kept, log)
		kept.Close()
	}()
	return &target{name: "smarthost", addr: addr, group: g, stop: func() error {
		serve.Process.Signal(syscall.SIGTERM)
		<-copied
		return errors.Join(serve.Wait(), g.remove())
	}}, nil
}
