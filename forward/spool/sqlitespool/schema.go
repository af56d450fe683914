package sqlitespool

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// version is the database's user_version. A change of the schema raises it and teaches migrate the step.
	version = 6
	// application marks the file as ours ("smho").
	application = 0x736d686f
)

// schema is version 1, which upgrade makes version 2 of, events version 3, apart version 4, ordering version 5, and resending version 6. Times are milliseconds since 1970, due is NULL for what is never claimed (held, damaged).
// The body stands last, so that nothing else has to be read across it.
const schema = `
CREATE TABLE message (
	n        INTEGER PRIMARY KEY,
	id       TEXT NOT NULL UNIQUE,
	account  TEXT NOT NULL,
	arrived  INTEGER NOT NULL,
	size     INTEGER NOT NULL,  -- octets that Body yields
	damaged  TEXT,              -- the cause, if it is set aside
	envelope BLOB NOT NULL,     -- JSON, without the recipients
	top      BLOB,              -- what goes on top of the body
	cut      BLOB,              -- JSON, spans of the body file to leave out
	sum      INTEGER NOT NULL,  -- CRC-32C of id, envelope, top, cut
	written  INTEGER NOT NULL,  -- octets of the body or the file
	body_sum INTEGER NOT NULL,  -- CRC-32C of the body or the file
	body     BLOB               -- NULL: it is in the file body/<id>
);
CREATE INDEX message_account ON message (account, id);
CREATE TABLE delivery (
	message     TEXT NOT NULL,
	destination TEXT NOT NULL,
	due         INTEGER,
	state       TEXT NOT NULL,
	attempts    INTEGER NOT NULL,
	delayed     INTEGER NOT NULL,
	recipients  BLOB NOT NULL,    -- JSON: those still undone, with their last results
	sum         INTEGER NOT NULL, -- CRC-32C of message, destination, recipients, and of relay and fate if there are any
	PRIMARY KEY (message, destination)
) WITHOUT ROWID;
CREATE INDEX delivery_due ON delivery (destination, due);
CREATE INDEX delivery_destination ON delivery (destination, message);
CREATE TABLE duplicate (key BLOB PRIMARY KEY, id TEXT NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX duplicate_until ON duplicate (until);
CREATE TABLE total (
	messages INTEGER NOT NULL, bytes INTEGER NOT NULL,
	queued INTEGER NOT NULL, waiting INTEGER NOT NULL, held INTEGER NOT NULL, damaged INTEGER NOT NULL
);
INSERT INTO total VALUES (0, 0, 0, 0, 0, 0);
`

// upgrade makes version 2 of version 1: what operators order, and the history. It rewrites no row, so that a million of them take no time.
// message_id and sender are only looked through by Trace; mail from before the upgrade has none.
const upgrade = `
ALTER TABLE delivery ADD COLUMN relay TEXT;     -- the URL that it goes to in place of its route
ALTER TABLE delivery ADD COLUMN fate TEXT;      -- drop, return
ALTER TABLE delivery ADD COLUMN message_id BLOB;
ALTER TABLE delivery ADD COLUMN sender BLOB;
CREATE TABLE rule (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	account     TEXT NOT NULL,
	sender      TEXT NOT NULL,
	destination TEXT NOT NULL,
	note        TEXT NOT NULL,
	added       INTEGER NOT NULL
);
CREATE TABLE history (
	n       INTEGER PRIMARY KEY,
	message TEXT NOT NULL,
	at      INTEGER NOT NULL,
	ended   INTEGER,          -- on the last row of a message: the same as at
	record  BLOB NOT NULL,    -- JSON: the attempt
	summary BLOB,             -- JSON, on the last row: what the message's row said
	sum     INTEGER NOT NULL  -- CRC-32C of message, record, summary
);
CREATE INDEX history_message ON history (message);
CREATE INDEX history_ended ON history (ended) WHERE ended IS NOT NULL;
ALTER TABLE total ADD COLUMN history INTEGER NOT NULL DEFAULT 0;
`

// events makes version 3 of version 2: what listeners are still to be told. They are not in any table of their own: their names are the config's.
const events = `
CREATE TABLE event (
	n        INTEGER PRIMARY KEY AUTOINCREMENT,
	listener TEXT NOT NULL,
	id       TEXT NOT NULL,
	message  TEXT NOT NULL,
	at       INTEGER NOT NULL,
	due      INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	record   BLOB NOT NULL,   -- JSON: the event
	sum      INTEGER NOT NULL -- CRC-32C of listener, id, message, record
);
CREATE INDEX event_due ON event (listener, due, n);
CREATE INDEX event_message ON event (listener, message, n);
ALTER TABLE total ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
`

// apart makes version 4 of version 3: keys of duplicates go to their place in bulk, and a message that is taken out can be forgotten by its key.
const apart = `
ALTER TABLE message ADD COLUMN key BLOB; -- NULL: it is in no table of duplicates, or from before the upgrade
CREATE TABLE recent (n INTEGER PRIMARY KEY, key BLOB NOT NULL, id TEXT NOT NULL, until INTEGER NOT NULL);
`

// ordering makes version 5 of version 4: what was ordered for a delivery, for the history.
const ordering = `
ALTER TABLE delivery ADD COLUMN orders BLOB; -- NULL, or CRC-32C of message, destination and what follows: JSON
`

// resending makes version 6 of version 5: a mail whose key is known may have parts that can be sent anew.
const resending = `
ALTER TABLE recent ADD COLUMN anew BLOB;    -- JSON: recipients that may be sent anew, and ids of earlier messages of the mail; NULL: none
ALTER TABLE duplicate ADD COLUMN anew BLOB; -- the same
`

// steps[v] makes version v+1 of version v.
var steps = []string{schema, upgrade, events, apart, ordering, resending}

// quickCheckSize is the size in octets up to which a database that was not closed properly is looked through before use.
// Above it that would take too long; the rows' checksums find what is wrong when it is read.
const quickCheckSize = 64 << 20

// settings are made on each connection that writes. busy_timeout is only for those who look in with the sqlite3 tool.
const settings = `
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 4000;
PRAGMA journal_size_limit = 67108864;
PRAGMA busy_timeout = 2000;
PRAGMA cache_size = -8192;
`

// migrate makes an empty database ours, and refuses one that is not ours, newer, or damaged.
func migrate(c *conn, file string, unclean bool) error {
	v, err := readFormat(c, file)
	if err != nil {
		return err
	}
	if v == 0 {
		return create(c)
	}
	if unclean {
		if err := check(c, file); err != nil {
			return err
		}
	}
	if v < version {
		if err := install(c, strings.Join(steps[v:], "")); err != nil {
			return fmt.Errorf("bring %s to format %d; nothing was changed: %w", file, version, explain(file, err))
		}
	}
	return nil
}

// readFormat is the version of a database that is ours and not newer. It is 0 if nothing is in it yet, which is how a first start that
// was cut off leaves it.
func readFormat(c *conn, file string) (v int64, err error) {
	var app, tables int64
	err = c.query("SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id, pragma_user_version", func(row []driver.Value) error {
		app, v, tables = integer(row[0]), integer(row[1]), integer(row[2])
		return nil
	})
	if err != nil {
		return 0, explain(file, err)
	}
	switch {
	case app == 0 && v == 0 && tables == 0:
		return 0, nil
	case app != application:
		return 0, fmt.Errorf("%s is a database of another program; point the data directory elsewhere", file)
	case v > version:
		return 0, fmt.Errorf("%s was written by a newer smarthost (format %d, this one knows %d); run that version", file, v, version)
	}
	return v, nil
}

func create(c *conn) error {
	return install(c, strings.Join(steps, "")+fmt.Sprintf("PRAGMA application_id = %d;", application))
}

// install runs a script that ends in this version, all of it or nothing.
func install(c *conn, script string) error {
	if err := c.script(fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %d; COMMIT", script, version)); err != nil {
		c.script("ROLLBACK") // fails if SQLite has done it already
		return err
	}
	return c.script("PRAGMA wal_checkpoint(TRUNCATE)")
}

func check(c *conn, file string) error {
	if info, err := os.Stat(file); err != nil || info.Size() > quickCheckSize {
		return err
	}
	var found string
	err := c.query("PRAGMA quick_check(1)", func(v []driver.Value) error { found = str(v[0]); return nil })
	if err == nil && found != "ok" {
		err = errors.New(found)
	}
	if err != nil {
		return explain(file, err)
	}
	return nil
}

// explain adds what to do about a database that cannot be read. It is never replaced by an empty one: there is mail in it.
func explain(file string, err error) error {
	if code(err) == sqlite3.SQLITE_CORRUPT || code(err) == sqlite3.SQLITE_NOTADB || code(err) < 0 {
		return fmt.Errorf("%s is damaged (%w); nothing was changed. Copy the folder, then restore a backup or run: sqlite3 %s .recover", file, err, file)
	}
	return fmt.Errorf("%s: %w", file, err)
}

// code is SQLite's primary result code, or -1 if err is not SQLite's.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return -1
}
