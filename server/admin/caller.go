package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// A Scope is what a token is good for.
type Scope string

// The scopes. Each of them can read.
const (
	Read  Scope = "read"
	Mail  Scope = "queue" // change what waits
	Users Scope = "users" // give devices and take them away
	All   Scope = "all"
)

// ParseScopes reads a list such as "queue,users".
func ParseScopes(list string) ([]Scope, error) {
	var scopes []Scope
	for word := range strings.SplitSeq(list, ",") {
		s := Scope(strings.TrimSpace(word))
		if !slices.Contains([]Scope{Read, Mail, Users, All}, s) {
			return nil, fmt.Errorf("%q is no scope; there are read, queue, users and all", word)
		}
		scopes = append(scopes, s)
	}
	return scopes, nil
}

// ErrToken is what Server.Token returns for a token that is nobody's.
var ErrToken = errors.New("no such token")

// A Caller is who makes a request.
type Caller struct {
	Name   string // for the log
	Scopes []Scope
}

// May tells whether the caller's token is good for something that needs s.
func (c Caller) May(s Scope) bool {
	return slices.Contains(c.Scopes, All) || slices.Contains(c.Scopes, s) || s == Read && len(c.Scopes) > 0
}

type peerKey struct{}

// withPeer notes who is at the other end of a Unix socket.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if p, ok := c.(*placed); ok {
		c = p.Conn
	}
	if u, ok := c.(*net.UnixConn); ok {
		if name, ok := peerName(u); ok {
			return context.WithValue(ctx, peerKey{}, name)
		}
	}
	return ctx
}

// socketCaller is whoever could open a trusted door.
func socketCaller(ctx context.Context) Caller {
	name, ok := ctx.Value(peerKey{}).(string)
	if !ok {
		name = "socket"
	}
	return Caller{Name: name, Scopes: []Scope{All}}
}
