package sqlitespool

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// version is the database's user_version. A change of the schema raises it and teaches migrate the step.
	version = 1
	// application marks the file as ours ("smho").
	application = 0x736d686f
)

// schema is version 1. Times are milliseconds since 1970, due is NULL for what is never claimed (held, damaged).
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
	sum         INTEGER NOT NULL, -- CRC-32C of message, destination, recipients
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
	app, err := c.number("PRAGMA application_id")
	if err != nil {
		return explain(file, err)
	}
	v, err := c.number("PRAGMA user_version")
	if err != nil {
		return explain(file, err)
	}
	tables, err := c.number("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return explain(file, err)
	}
	switch {
	case app == 0 && v == 0 && tables == 0:
		return create(c)
	case app != application:
		return fmt.Errorf("%s is a database of another program; point the data directory elsewhere", file)
	case v > version:
		return fmt.Errorf("%s was written by a newer smarthost (format %d, this one knows %d); run that version", file, v, version)
	}
	if unclean {
		return check(c, file)
	}
	return nil
}

func create(c *conn) error {
	return errors.Join(
		c.script("BEGIN IMMEDIATE;"+schema+fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT", application, version)),
		c.script("PRAGMA wal_checkpoint(TRUNCATE)"))
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
