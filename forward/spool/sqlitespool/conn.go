package sqlitespool

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"

	"modernc.org/sqlite"
)

// A conn is one connection to the database with its prepared statements, used by one goroutine at a time.
// It is the driver's connection without database/sql: no pool may hand the writer's transaction to another.
type conn struct {
	driver driver.Conn
	stmts  map[string]driver.Stmt
	args   []driver.NamedValue
	row    []driver.Value
}

// connect opens the database file. With write it is created if it is missing.
func connect(ctx context.Context, file string, write bool) (*conn, error) {
	u := url.URL{Scheme: "file", OmitHost: true, Path: file, RawQuery: "mode=rw"}
	if write {
		u.RawQuery = "mode=rwc"
	}
	connector, err := sqlite.NewConnector(u.String())
	if err != nil {
		return nil, err
	}
	d, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{driver: d, stmts: map[string]driver.Stmt{}}, nil
}

func (c *conn) close() error {
	for _, s := range c.stmts {
		s.Close()
	}
	return c.driver.Close()
}

func (c *conn) prepare(sql string) (driver.Stmt, error) {
	if s := c.stmts[sql]; s != nil {
		return s, nil
	}
	s, err := c.driver.Prepare(sql)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", sql, err)
	}
	c.stmts[sql] = s
	return s, nil
}

// bind copies args where the driver wants them. The driver is done with them when its call returns.
func (c *conn) bind(args []any) []driver.NamedValue {
	c.args = c.args[:0]
	for i, a := range args {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return c.args
}

// exec runs a prepared statement and returns the number of rows that it changed.
// Arguments are int64, string, []byte (nil is NULL) or nil.
func (c *conn) exec(sql string, args ...any) (int64, error) {
	s, err := c.prepare(sql)
	if err != nil {
		return 0, err
	}
	r, err := s.(driver.StmtExecContext).ExecContext(context.Background(), c.bind(args))
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// script runs SQL that is not worth preparing, or must not be: a PRAGMA acts when it is compiled.
func (c *conn) script(sql string) error {
	_, err := c.driver.(driver.ExecerContext).ExecContext(context.Background(), sql, nil)
	return err
}

// query calls row for each row of the result; the values are only valid until row returns, blobs and strings excepted.
func (c *conn) query(sql string, row func(v []driver.Value) error, args ...any) (err error) {
	s, err := c.prepare(sql)
	if err != nil {
		return err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), c.bind(args))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	n := len(rows.Columns())
	if cap(c.row) < n {
		c.row = make([]driver.Value, n)
	}
	for {
		if err := rows.Next(c.row[:n]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := row(c.row[:n]); err != nil {
			return err
		}
	}
}

// number reads one integer; no row and NULL are 0.
func (c *conn) number(sql string, args ...any) (n int64, err error) {
	err = c.query(sql, func(v []driver.Value) error { n = integer(v[0]); return nil }, args...)
	return n, err
}

// integer, str and blob take what a column holds; another type, which only a damaged or foreign row has, reads as nothing.
func integer(v driver.Value) int64 {
	n, _ := v.(int64)
	return n
}

func str(v driver.Value) string {
	s, _ := v.(string)
	return s
}

func blob(v driver.Value) []byte {
	b, _ := v.([]byte)
	return b
}
