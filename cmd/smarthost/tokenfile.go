package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/server/admin"
)

const (
	tokenPrefix = "smarthost-" // by which people, and programs that look for leaked secrets, know one
	maxTokens   = 1 << 20      // octets of the file
)

// An apiToken is one line of the file: name, scopes, SHA-256 of the secret, when it was added. A plain hash will do: the secret has 160
// random bits, and guessing it is hopeless at any speed.
type apiToken struct {
	Name   string        `json:"name"`
	Scopes []admin.Scope `json:"scopes"`
	Added  time.Time     `json:"added"`
	hash   string
}

// tokenFile is the file of the tokens. It is read at each request, so that a token that is revoked ends there and then.
type tokenFile struct{ Path string }

func (c *Config) tokens() *tokenFile { return &tokenFile{filepath.Join(c.Data, "admin-tokens")} }

// Caller tells whose token this is; admin.ErrToken: nobody's.
func (t *tokenFile) Caller(secret string) (admin.Caller, error) {
	all, err := t.read()
	if err != nil {
		return admin.Caller{}, err
	}
	hash := hashToken(secret)
	for _, known := range all {
		if known.hash == hash { // how alike two hashes are says nothing about the secret
			return admin.Caller{Name: "token " + known.Name, Scopes: known.Scopes}, nil
		}
	}
	return admin.Caller{}, admin.ErrToken
}

func hashToken(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func (t *tokenFile) read() (all []apiToken, err error) {
	f, err := os.Open(t.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the tokens: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTokens+1))
	if err != nil || len(text) > maxTokens {
		return nil, errors.Join(fmt.Errorf("read the tokens: %s cannot be read or is too large", t.Path), err)
	}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		one, err := parseToken(string(line))
		if err != nil { // it may be the one that was to be less than it is now
			return nil, fmt.Errorf("%s:%d: %w; remove the line, and make a new token", t.Path, n, err)
		}
		all = append(all, one)
	}
	return all, nil
}

func parseToken(line string) (t apiToken, err error) {
	fields := strings.Fields(line)
	if len(fields) != 4 || !tokenName.MatchString(fields[0]) || len(fields[2]) != 2*sha256.Size {
		return t, errors.New("this is no token")
	}
	t.Name, t.hash = fields[0], fields[2]
	if t.Scopes, err = admin.ParseScopes(fields[1]); err != nil {
		return t, err
	}
	t.Added, err = time.Parse(time.RFC3339, fields[3])
	return t, err
}

func (t apiToken) line() string {
	return fmt.Sprintf("%s %s %s %s\n", t.Name, strings.ReplaceAll(scopesText(t.Scopes), ", ", ","), t.hash, t.Added.UTC().Format(time.RFC3339))
}

// Add makes a token and returns its secret.
func (t *tokenFile) Add(name string, scopes []admin.Scope, now time.Time) (secret string, err error) {
	secret = tokenPrefix + auth.NewSecret()
	return secret, t.change(func(all []apiToken) ([]apiToken, error) {
		if slices.ContainsFunc(all, func(other apiToken) bool { return other.Name == name }) {
			return nil, fmt.Errorf("there is a token %s already; smarthost token revoke %s ends it", name, name)
		}
		return append(all, apiToken{Name: name, Scopes: scopes, Added: now.Truncate(time.Second), hash: hashToken(secret)}), nil
	})
}

// Revoke ends a token.
func (t *tokenFile) Revoke(name string) error {
	return t.change(func(all []apiToken) ([]apiToken, error) {
		left := slices.DeleteFunc(slices.Clone(all), func(other apiToken) bool { return other.Name == name })
		if len(left) == len(all) {
			return nil, fmt.Errorf("there is no token %s; smarthost token list shows those that are there", name)
		}
		return left, nil
	})
}

// change rewrites the file while it holds a lock on the folder, so that two changes at once both count.
func (t *tokenFile) change(edit func([]apiToken) ([]apiToken, error)) error {
	if err := os.MkdirAll(filepath.Dir(t.Path), 0o700); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(t.Path))
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", folder.Name(), err)
	}
	all, err := t.read()
	if err != nil {
		return err
	}
	if all, err = edit(all); err != nil {
		return err
	}
	var text strings.Builder
	text.WriteString("# Tokens of the API: name, scopes, SHA-256 of the token, when it was added. smarthost token changes this file.\n")
	for _, one := range all {
		text.WriteString(one.line())
	}
	owner, err := t.reader(folder)
	if err == nil {
		err = writeFileFor(owner, t.Path, []byte(text.String()), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the tokens: %w", err)
	}
	return nil
}

// reader is whoever has the folder, since that is who has to read what root writes; nil if this is nobody else.
func (t *tokenFile) reader(folder *os.File) (*syscall.Stat_t, error) {
	st, err := folder.Stat()
	if err != nil || os.Geteuid() != 0 {
		return nil, err
	}
	owner, _ := st.Sys().(*syscall.Stat_t)
	return owner, nil
}
