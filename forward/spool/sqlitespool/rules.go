package sqlitespool

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// maxRules bounds what each new mail is compared with.
const maxRules = 1000

func readRules(c *conn) (all []spool.Rule, err error) {
	err = c.query("SELECT id, account, sender, destination, note, added FROM rule ORDER BY id", func(v []driver.Value) error {
		all = append(all, spool.Rule{ID: integer(v[0]), Account: str(v[1]), Sender: str(v[2]), Destination: str(v[3]), Note: str(v[4]), Added: time.UnixMilli(integer(v[5]))})
		return nil
	})
	return all, err
}

// holder names the rule that holds new mail; "" if none does.
func (s *Spool) holder(account, sender, destination string) string {
	rules := *s.rules.Load()
	i := slices.IndexFunc(rules, func(r spool.Rule) bool { return r.Holds(account, sender, destination) })
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("rule %d", rules[i].ID)
}

// ruleChange adds a rule, or removes that with the id.
type ruleChange struct {
	s    *Spool
	rule spool.Rule
	add  bool
	now  []spool.Rule
}

func (c *ruleChange) weight() int   { return 256 }
func (c *ruleChange) durable() bool { return true }

func (c *ruleChange) apply(b *batch) (refused, fault error) {
	if c.add {
		n, err := b.number("SELECT count(*) FROM rule")
		if err == nil && n >= maxRules {
			return fmt.Errorf("there are %d rules already, which is the most there may be; remove one first", n), nil
		}
		if err != nil {
			return nil, err
		}
		c.rule.Added = time.UnixMilli(b.now)
		if _, fault = b.exec("INSERT INTO rule (account, sender, destination, note, added) VALUES (?,?,?,?,?)",
			c.rule.Account, c.rule.Sender, c.rule.Destination, c.rule.Note, b.now); fault == nil {
			c.rule.ID, fault = b.number("SELECT last_insert_rowid()")
		}
	} else {
		n, err := b.exec("DELETE FROM rule WHERE id = ?", c.rule.ID)
		if err == nil && n == 0 {
			return spool.ErrNotFound, nil
		}
		fault = err
	}
	if fault == nil {
		c.now, fault = readRules(b.conn)
	}
	return nil, fault
}

func (c *ruleChange) applied() { c.s.rules.Store(&c.now) }

// AddRule holds new mail from now on.
func (s *Spool) AddRule(ctx context.Context, r spool.Rule) (spool.Rule, error) {
	if r.Account == "" && r.Sender == "" && r.Destination == "" {
		return r, errors.New("a rule without account, sender and destination would hold everything; give it one of them")
	}
	c := &ruleChange{s: s, rule: r, add: true}
	if err := s.submit(c); err != nil {
		return r, fmt.Errorf("add a rule: %w", err)
	}
	return c.rule, nil
}

// RemoveRule ends a rule.
func (s *Spool) RemoveRule(ctx context.Context, id int64) error {
	if err := s.submit(&ruleChange{s: s, rule: spool.Rule{ID: id}}); err != nil {
		return fmt.Errorf("remove rule %d: %w", id, err)
	}
	return nil
}

// Rules lists the rules.
func (s *Spool) Rules(ctx context.Context) ([]spool.Rule, error) { return s.readers.rules(ctx) }

// Rules is spool.Store's Rules.
func (r *Reader) Rules(ctx context.Context) ([]spool.Rule, error) { return r.readers.rules(ctx) }

func (r *readers) rules(ctx context.Context) ([]spool.Rule, error) {
	c, err := r.get(ctx)
	if err != nil {
		return nil, err
	}
	defer r.put(c)
	all, err := readRules(c)
	if err != nil {
		return nil, fmt.Errorf("list the rules: %w", err)
	}
	return all, nil
}
