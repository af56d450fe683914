package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
)

const waitHelp = `smarthost wait waits until a message has ended, and tells how; for scripts and
tests. Exit code 0: all its recipients have it, as far as the next hops say. 1:
it failed for some, or the time is over, or nobody knows the message.

    smarthost wait ID|MESSAGE-ID|ADDRESS [--timeout 1m]

Of an address, it is the newest message from or to it.

Example:
    smarthost wait 06ewzp00k3v7t2mq --timeout 30s
`

// waitPause is how often the queue is looked at.
const waitPause = 200 * time.Millisecond

func waitCommand(env *environment, args []string) error {
	fs := newFlags(env, "wait", waitHelp)
	config := commonFlags(fs)
	timeout := fs.Duration("timeout", time.Minute, "how long to wait")
	args, err := parseFlags(fs, args)
	switch {
	case err != nil:
		return err
	case len(args) != 1 || args[0] == "":
		return usageError("wait takes the id of a message (see smarthost wait --help)")
	case *timeout <= 0:
		return usageError("wait: --timeout must be a duration such as 30s or 5m")
	}
	c, err := loadConfig(env, *config)
	if err != nil {
		return err
	}
	reader, err := openQueue(c)
	if err != nil {
		return err
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(env.Context, *timeout)
	defer cancel()
	s, err := waitFor(ctx, c, reader, args[0])
	if errors.Is(err, context.DeadlineExceeded) && env.Context.Err() == nil {
		return fmt.Errorf("%s has not ended after %v; smarthost trace %s says what it waits for", printable(s.ID), *timeout, printable(s.ID))
	}
	if err != nil {
		return err
	}
	if e := endingOf(s); len(e.failed) > 0 {
		return fmt.Errorf("%s has ended: %s; smarthost trace %s says why", printable(s.ID), outcomeText(s), printable(s.ID))
	}
	_, err = fmt.Fprintf(env.Stdout, "%s %s\n", printable(s.ID), outcomeText(s))
	return err
}

// waitFor returns the story when it has ended. With an error it has at least the id.
func waitFor(ctx context.Context, c *Config, reader *sqlitespool.Reader, key string) (spool.Story, error) {
	story := spool.Story{Envelope: spool.Envelope{ID: key}}
	tick := time.NewTicker(waitPause)
	defer tick.Stop()
	for seen := false; ; seen = true {
		all, err := reader.Trace(ctx, story.ID, 1)
		switch {
		case err != nil:
			return story, err
		case len(all) == 0 && seen:
			return story, fmt.Errorf("%s has left the queue, and queue.history is \"0s\": how it ended is not written down", printable(story.ID))
		case len(all) == 0:
			return story, unknownMail(c, key)
		}
		if story = all[0]; !story.Ended.IsZero() {
			return story, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return story, ctx.Err()
		}
	}
}
