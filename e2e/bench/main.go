// Command bench compares what a submitted mail costs smarthost and Debian's Postfix with Dovecot SASL, on this machine and in
// the same run: STARTTLS and AUTH, durable before 250, relaying to a sink included. It starts everything itself, on
// loopback, as root on Debian with the packages postfix and dovecot-core.
//
//	go run ./e2e/bench
//
// What is counted is the processor time of the whole process tree of each server; load generator and sink run in this process
// and are not counted. The sink offers STARTTLS, as next hops do, and both servers take it without asking for a certificate,
// as they do with MX hosts; -next-hop-tls=false compares them with a next hop that has none.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

// A target is a server under test.
type target struct {
	name  string
	addr  string // submission, STARTTLS
	group *group // its processes
	stop  func() error
}

func main() {
	rounds := flag.Int("rounds", 3, "rounds, the targets in turn, after one to warm up; 0 leaves out the comparison")
	messages := flag.Int("messages", 2000, "messages of each measurement")
	nextHopTLS := flag.Bool("next-hop-tls", true, "the next hop offers STARTTLS")
	idle := flag.Int("idle", 10000, "idle TLS connections; 0 leaves that out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *messages, *idle, *nextHopTLS); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds, messages, idle int, nextHopTLS bool) (err error) {
	folder, err := os.MkdirTemp("/var/tmp", "bench-") // a disk, not a tmpfs: both have to sync
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	os.Chmod(folder, 0o755) // Postfix' own users have to get in
	certificate := ""
	if nextHopTLS {
		certificate = filepath.Join(folder, "sink.pem")
		if err := writeCertificate(certificate); err != nil {
			return err
		}
	}
	sink, err := startSink(certificate)
	if err != nil {
		return err
	}
	defer sink.Close()
	ours, err := startSmarthost(ctx, filepath.Join(folder, "smarthost"), sink.Addr())
	if err != nil {
		return fmt.Errorf("start smarthost: %w", err)
	}
	defer func() { err = errors.Join(err, ours.stop()) }()
	theirs, err := startPostfix(ctx, filepath.Join(folder, "postfix"), sink.Addr())
	if err != nil {
		return fmt.Errorf("start postfix: %w", err)
	}
	defer func() { err = errors.Join(err, theirs.stop()) }()

	t := newTable()
	loads := []load{
		{name: "fresh: a connection for each message, 20 clients", clients: 20, perConnection: 1, messages: messages},
		{name: "kept: 20 messages for each connection, 20 clients", clients: 20, perConnection: 20, messages: 2 * messages},
		{name: "storm: 200 clients at once, one message each", clients: 200, perConnection: 1, messages: 200},
	}
	for round := range rounds + 1 { // the first warms up
		for _, l := range loads {
			for _, target := range []*target{ours, theirs} {
				fmt.Fprintf(os.Stderr, "round %d of %d: %s, %s …\n", round, rounds, target.name, l.name)
				m, err := l.run(ctx, target, sink)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", target.name, l.name, err)
				}
				if round > 0 {
					t.add(target.name, l.name, m)
				}
			}
		}
	}
	if rounds > 0 {
		t.print(os.Stdout, loads, nextHopTLS, ours.name, theirs.name)
	}
	if idle > 0 {
		return measureIdle(ctx, ours, idle, os.Stdout)
	}
	return nil
}
