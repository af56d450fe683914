package sqlitespool

import (
	"database/sql/driver"
)

// mergeKeys is how many keys are put into their order at a time. Keys are random: each that goes to its place by itself changes a page of its own,
// thousands together share them.
const mergeKeys = 2048

// duplicates are the keys of messages that were taken lately. New ones go to the end of the table recent, which is in memory too, and
// from there in bulk to the table duplicate, which is in the order of keys.
// A row of either may stay longer than its time; it counts no more then.
type duplicates map[string]remembered

type remembered struct {
	id    string
	until int64 // milliseconds since 1970
}

// readDuplicates reads the keys that are not in order yet.
func readDuplicates(c *conn) (duplicates, error) {
	d := duplicates{}
	err := c.query("SELECT key, id, until FROM recent ORDER BY n", func(v []driver.Value) error {
		d[string(blob(v[0]))] = remembered{str(v[1]), integer(v[2])}
		return nil
	})
	return d, err
}

// known is the id of the message that was taken with this key; "" if there is none.
func (b *batch) known(key []byte) (id string, err error) {
	if r, ok := b.duplicates[string(key)]; ok {
		if r.until > b.now {
			id = r.id
		}
		return id, nil
	}
	err = b.query("SELECT id FROM duplicate WHERE key = ? AND until > ?", func(v []driver.Value) error { id = str(v[0]); return nil }, key, b.now)
	return id, err
}

// remember has the key known until then. What was remembered of it before goes: a message that comes again and again after its time
// would otherwise add a row each time, and never be merged.
func (b *batch) remember(key []byte, id string, until int64) error {
	if _, again := b.duplicates[string(key)]; again {
		if _, err := b.exec("DELETE FROM recent WHERE key = ?", key); err != nil {
			return err
		}
	}
	b.duplicates[string(key)] = remembered{id, until}
	_, err := b.exec("INSERT INTO recent (key, id, until) VALUES (?,?,?)", key, id, until)
	return err
}

// unremember lets a message come again: its mail was taken out before all of it was delivered.
func (b *batch) unremember(id string) error {
	var key []byte
	if err := b.query("SELECT key FROM message WHERE id = ?", func(v []driver.Value) error { key = blob(v[0]); return nil }, id); err != nil || key == nil {
		return err
	}
	if b.duplicates[string(key)].id == id {
		delete(b.duplicates, string(key))
	}
	for _, sql := range []string{"DELETE FROM recent WHERE key = ? AND id = ?", "DELETE FROM duplicate WHERE key = ? AND id = ?"} {
		if _, err := b.exec(sql, key, id); err != nil {
			return err
		}
	}
	return nil
}

// merge puts keys into their order once there are enough of them, and removes old ones: twice as many, so that they grow less.
func (b *batch) merge() error {
	if len(b.duplicates) < mergeKeys {
		return nil
	}
	clear(b.duplicates)
	if _, err := b.exec("DELETE FROM duplicate WHERE key IN (SELECT key FROM duplicate WHERE until <= ? ORDER BY until LIMIT 4096)", b.now); err != nil {
		return err
	}
	if _, err := b.exec("INSERT OR REPLACE INTO duplicate (key, id, until) SELECT key, id, until FROM recent ORDER BY key, n"); err != nil {
		return err
	}
	_, err := b.exec("DELETE FROM recent")
	return err
}
