package sqlitespool

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

const (
	traceRows  = 5000 // that one query looks through: a reader that stays keeps the write-ahead log from being reused
	traceLimit = 1000 // stories at most, whatever the caller says
)

// Trace tells the stories that key is part of.
func (s *Spool) Trace(ctx context.Context, key string, limit int) ([]spool.Story, error) {
	return s.readers.trace(ctx, key, limit, s.showLease)
}

// Trace is spool.Store's Trace.
func (r *Reader) Trace(ctx context.Context, key string, limit int) ([]spool.Story, error) {
	return r.readers.trace(ctx, key, limit, func(*spool.Entry) {})
}

func (r *readers) trace(ctx context.Context, key string, limit int, now func(*spool.Entry)) (all []spool.Story, err error) {
	limit = min(max(limit, 1), traceLimit)
	ids := []string{key}
	if strings.Contains(key, "@") {
		key = spool.BareMessageID(key)
		if ids, err = r.find(ctx, key, limit); err != nil {
			return nil, fmt.Errorf("trace %q: %w", key, err)
		}
	}
	for _, id := range ids {
		story, known, err := r.story(ctx, id, now)
		if err != nil {
			return nil, fmt.Errorf("trace %s: %w", id, err)
		}
		if known {
			all = append(all, story)
		}
	}
	slices.SortFunc(all, func(a, b spool.Story) int { return b.Arrived.Compare(a.Arrived) })
	return all[:min(len(all), limit)], nil
}

// find is the ids of messages in the queue and in the history that have something to do with key. Each part yields the newest first.
func (r *readers) find(ctx context.Context, key string, limit int) (ids []string, err error) {
	known := map[string]bool{}
	take := func(v []driver.Value) error {
		if id := str(v[0]); !known[id] {
			known[id] = true
			ids = append(ids, id)
		}
		return nil
	}
	if err := r.findQueued(ctx, key, limit, &ids, take); err != nil {
		return nil, err
	}
	most := len(ids) + limit
	err = r.pieces(ctx, func(c *conn, at *any) (bool, error) {
		if *at == nil {
			n, err := c.number("SELECT coalesce(max(n), 0) FROM history")
			if *at = n; err != nil || n == 0 {
				return false, err
			}
		}
		to := (*at).(int64)
		*at = to - traceRows
		err := c.query(`SELECT message FROM history WHERE n > ? AND n <= ? AND (instr(lower(CAST(record AS TEXT)), ?3) OR instr(lower(CAST(summary AS TEXT)), ?3)) ORDER BY n DESC`,
			take, to-traceRows, to, needle(key))
		first, err2 := c.number("SELECT coalesce(min(n), 0) FROM history")
		if err == nil {
			err = err2
		}
		return to-traceRows >= first && len(ids) < most, err
	})
	return ids, err
}

// findQueued looks through the deliveries.
func (r *readers) findQueued(ctx context.Context, key string, limit int, ids *[]string, take func([]driver.Value) error) error {
	return r.pieces(ctx, func(c *conn, at *any) (bool, error) {
		to := "\U0010ffff"
		if *at != nil {
			to = (*at).(string)
		}
		from := ""
		if err := c.query("SELECT message FROM delivery WHERE message < ? ORDER BY message DESC LIMIT 1 OFFSET ?", func(v []driver.Value) error {
			from = str(v[0])
			return nil
		}, to, int64(traceRows)); err != nil {
			return false, err
		}
		*at = from
		err := c.query(`SELECT message FROM delivery WHERE message < ? AND message >= ? AND (message_id = ?3 OR lower(CAST(sender AS TEXT)) = ?4 OR instr(lower(CAST(recipients AS TEXT)), ?5)) ORDER BY message DESC`,
			take, to, from, []byte(key), lower(key), needle(key))
		return from != "" && len(*ids) < limit, err
	})
}

// pieces calls one until it says that there is no more, each time with a connection of its own turn. at is one's own.
func (r *readers) pieces(ctx context.Context, one func(c *conn, at *any) (more bool, err error)) error {
	var at any
	for more := true; more; {
		c, err := r.get(ctx)
		if err != nil {
			return err
		}
		more, err = one(c, &at)
		r.put(c)
		if err != nil {
			return err
		}
	}
	return nil
}

// story puts together what queue and history know of a message.
func (r *readers) story(ctx context.Context, id string, now func(*spool.Entry)) (story spool.Story, known bool, err error) {
	for e, err := range r.list(ctx, spool.Filter{IDs: []string{id}}, now) {
		if err != nil {
			return story, false, err
		}
		story.Entries = append(story.Entries, e)
	}
	c, err := r.get(ctx)
	if err != nil {
		return story, false, err
	}
	defer r.put(c)
	var faults error
	err = c.query("SELECT at, ended, record, summary, sum FROM history WHERE message = ? ORDER BY n", func(v []driver.Value) error {
		if err := readPast(id, integer(v[0]), integer(v[1]), blob(v[2]), blob(v[3]), integer(v[4]), &story); err != nil {
			faults = err // the other rows tell their part
		}
		return nil
	}, id)
	if err != nil {
		return story, false, err
	}
	if len(story.Entries) > 0 {
		story.Envelope = story.Entries[0].Envelope
		story.Recipients = nil
		for _, e := range story.Entries {
			story.Recipients = append(story.Recipients, e.Recipients...)
		}
		err = c.query("SELECT message_id, destination, orders FROM delivery WHERE message = ?", func(v []driver.Value) error {
			story.MessageID = string(blob(v[0]))
			story.Orders = append(story.Orders, ordered(str(v[1]), readOrders(id, str(v[1]), blob(v[2])))...)
			return nil
		}, id)
	}
	slices.SortStableFunc(story.Orders, func(a, b spool.Ordered) int { return a.At.Compare(b.At) })
	story.ID = id
	known = len(story.Entries) > 0 || len(story.Attempts) > 0
	if !known {
		err = faults
	}
	return story, known, err
}
