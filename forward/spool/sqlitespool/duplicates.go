package sqlitespool

import (
	"database/sql/driver"
	"encoding/json"
	"slices"
)

// mergeKeys is how many keys are put into their order at a time. Keys are random: each that goes to its place by itself changes a page of its own,
// thousands together share them.
const mergeKeys = 2048

// duplicates are the keys of messages that were taken lately. New ones go to the end of the table recent, which is in memory too, and
// from there in bulk to the table duplicate, which is in the order of keys.
// A row of either may stay longer than its time; it counts no more then. What a transaction changes in memory is taken back if it fails: to
// read all keys again each time would make a full disk, where one fails after another, dear.
type duplicates struct {
	recent map[string]remembered
	before []was                 // what the transaction has changed, in the order in which it did
	merged map[string]remembered // what the transaction has put into order, all at once; nil: nothing
	spare  map[string]remembered // empty, to take merged's turn
}

// was is what was remembered of a key.
type was struct {
	key   string
	known bool
	remembered
}

func (d *duplicates) set(key string, r remembered) {
	d.note(key)
	d.recent[key] = r
}

func (d *duplicates) remove(key string) {
	d.note(key)
	delete(d.recent, key)
}

func (d *duplicates) note(key string) {
	r, known := d.recent[key]
	d.before = append(d.before, was{key, known, r})
}

// clear forgets all, which are in order now.
func (d *duplicates) clear() { d.recent, d.merged = d.spare, d.recent }

// end makes of what the transaction has changed what is so.
func (d *duplicates) end() {
	if d.merged != nil {
		clear(d.merged)
		d.spare, d.merged = d.merged, nil
	}
	clear(d.before)
	d.before = d.before[:0]
}

// undo takes it back. A transaction puts keys into order after all else.
func (d *duplicates) undo() {
	if d.merged != nil {
		d.recent, d.merged = d.merged, nil
	}
	for _, w := range slices.Backward(d.before) {
		if w.known {
			d.recent[w.key] = w.remembered
		} else {
			delete(d.recent, w.key)
		}
	}
	d.end()
}

type remembered struct {
	id    string // of the message that was taken with it last; "": the key is not known
	until int64  // milliseconds since 1970
	anew  *anew  // nil: nothing of the mail may be sent anew
}

// anew is what of a mail may be sent anew, though its key is known: that which an operator took out.
type anew struct {
	To     []octets `json:"to,omitempty"`     // recipients
	Beside []string `json:"beside,omitempty"` // ids of earlier messages of the mail: each may still bring what later ones are without
}

// decode takes the columns id, until, anew. If it cannot be told what may be sent anew, the key is not known: better all of it twice than a part never.
func decode(v []driver.Value) remembered {
	r := remembered{id: str(v[0]), until: integer(v[1])}
	if v[2] != nil {
		r.anew = &anew{}
		if json.Unmarshal(blob(v[2]), r.anew) != nil {
			return remembered{}
		}
	}
	return r
}

// readDuplicates reads the keys that are not in order yet.
func readDuplicates(c *conn) (*duplicates, error) {
	d := &duplicates{recent: map[string]remembered{}, spare: map[string]remembered{}}
	err := c.query("SELECT id, until, anew, key FROM recent ORDER BY n", func(v []driver.Value) error {
		d.recent[string(blob(v[3]))] = decode(v)
		return nil
	})
	return d, err
}

// known is what was taken with this key and still counts.
func (b *batch) known(key []byte) (r remembered, err error) {
	r, recent := b.duplicates.recent[string(key)]
	if !recent {
		r, err = b.inOrder(key)
	}
	if r.until <= b.now {
		r = remembered{}
	}
	return r, err
}

// inOrder looks for a key among those in order. Most are not there, and a query costs by its columns.
func (b *batch) inOrder(key []byte) (r remembered, err error) {
	n, err := b.number("SELECT 1 FROM duplicate WHERE key = ?", key)
	if err == nil && n > 0 {
		err = b.query("SELECT id, until, anew FROM duplicate WHERE key = ?", func(v []driver.Value) error { r = decode(v); return nil }, key)
	}
	return r, err
}

// remember has the key known. What was remembered of it before goes: a message that comes again and again after its time
// would otherwise add a row each time, and never be merged.
func (b *batch) remember(key []byte, r remembered) error {
	if _, again := b.duplicates.recent[string(key)]; again {
		if _, err := b.exec("DELETE FROM recent WHERE key = ?", key); err != nil {
			return err
		}
	}
	b.duplicates.set(string(key), r)
	if r.anew == nil {
		_, err := b.exec("INSERT INTO recent (key, id, until) VALUES (?,?,?)", key, r.id, r.until)
		return err
	}
	text, err := json.Marshal(r.anew)
	if err != nil {
		return err
	}
	_, err = b.exec("INSERT INTO recent (key, id, until, anew) VALUES (?,?,?,?)", key, r.id, r.until, text)
	return err
}

// missing leaves of a mail's deliveries what may be sent anew.
func (a *anew) missing(rows []row) (kept []row, err error) {
	if a == nil {
		return nil, nil
	}
	for _, r := range rows {
		var rs []recipient
		if err := json.Unmarshal(r.recipients, &rs); err != nil {
			return nil, err
		}
		rs = slices.DeleteFunc(rs, func(r recipient) bool { return !slices.Contains(a.To, r.Address) })
		if len(rs) == 0 {
			continue
		}
		text, err := json.Marshal(rs)
		if err != nil {
			return nil, err
		}
		kept = append(kept, row{r.destination, text})
	}
	return kept, nil
}

// after is what may be sent anew once all that could be was: nothing, until an operator takes out more of this message or of those before it
// that are still in the queue.
func (b *batch) after(r remembered) (*anew, error) {
	if r.id == "" {
		return nil, nil
	}
	var a anew
	for _, id := range append(r.anew.Beside, r.id) {
		n, err := b.number("SELECT count(*) FROM message WHERE id = ?", id)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			a.Beside = append(a.Beside, id)
		}
	}
	if len(a.Beside) == 0 {
		return nil, nil
	}
	return &a, nil
}

// allow lets recipients of a message be sent anew: they were taken out before they had it. The mail's others, who have it or wait for it, are not
// sent it again. No recipients: it is not known which they were, so all of the mail may come.
func (b *batch) allow(id string, rs []recipient) error {
	var key []byte
	if err := b.query("SELECT key FROM message WHERE id = ?", func(v []driver.Value) error { key = blob(v[0]); return nil }, id); err != nil || key == nil {
		return err
	}
	r, err := b.known(key)
	if err != nil || r.id != id && (r.anew == nil || !slices.Contains(r.anew.Beside, id)) {
		return err
	}
	if len(rs) == 0 {
		return b.unremember(key)
	}
	a := anew{}
	if r.anew != nil {
		a = anew{slices.Clone(r.anew.To), r.anew.Beside}
	}
	for i := range rs {
		if !slices.Contains(a.To, rs[i].Address) {
			a.To = append(a.To, rs[i].Address)
		}
	}
	r.anew = &a
	text, err := json.Marshal(r.anew)
	if err != nil {
		return err
	}
	table := "duplicate"
	if _, recent := b.duplicates.recent[string(key)]; recent {
		table = "recent"
		b.duplicates.set(string(key), r)
	}
	_, err = b.exec("UPDATE "+table+" SET anew = ? WHERE key = ?", text, key)
	return err
}

// unremember lets all of a mail come again.
func (b *batch) unremember(key []byte) error {
	b.duplicates.remove(string(key))
	for _, sql := range []string{"DELETE FROM recent WHERE key = ?", "DELETE FROM duplicate WHERE key = ?"} {
		if _, err := b.exec(sql, key); err != nil {
			return err
		}
	}
	return nil
}

// merge puts keys into their order once there are enough of them, and removes old ones: twice as many, so that they grow less.
func (b *batch) merge() error {
	if len(b.duplicates.recent) < mergeKeys {
		return nil
	}
	b.duplicates.clear()
	if _, err := b.exec("DELETE FROM duplicate WHERE key IN (SELECT key FROM duplicate WHERE until <= ? ORDER BY until LIMIT 4096)", b.now); err != nil {
		return err
	}
	if _, err := b.exec("INSERT OR REPLACE INTO duplicate (key, id, until, anew) SELECT key, id, until, anew FROM recent ORDER BY key, n"); err != nil {
		return err
	}
	_, err := b.exec("DELETE FROM recent")
	return err
}
