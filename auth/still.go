package auth

import (
	"bytes"
	"context"
	"time"
)

// stillDeadline is how long the store may take to tell whether a login is still there: it holds up each MAIL and each message.
const stillDeadline = 2 * time.Second

// Still tells whether a login, by which the client has proved itself before, is of use yet, and returns it as it is now. If it is not, why says
// so in words for the client: "the login of device laptop was revoked". A store that does not answer leaves it as it was.
func (a *Authenticator) Still(ctx context.Context, l Login, peer Peer) (now Login, why string) {
	a.once.Do(a.prepare)
	got, ok, err := a.find(ctx, l.Name, l.Device)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			a.metrics.storeFailed.Inc()
			a.Log.Warn().Err(err).Str("session", peer.Session).Msg("the accounts cannot be read; a session that has logged in goes on")
		}
		return l, l.lapsed(peer.Addr)
	case !ok:
		return l, "the login" + l.of() + " was revoked"
	case !bytes.Equal(got.Hash, l.Hash):
		return l, "the password" + l.of() + " was changed"
	}
	if why = got.lapsed(peer.Addr); why == "" {
		a.Sightings.note(got, peer)
	}
	return got, why
}

// find asks the store for a login, which costs next to nothing if it need not wait.
func (a *Authenticator) find(ctx context.Context, name, device string) (l Login, ok bool, err error) {
	if r, can := a.Store.(Recaller); can {
		if l, ok, known := r.Recall(name, device); known {
			return l, ok, nil
		}
	}
	type answer struct {
		login Login
		ok    bool
	}
	got, err := ask(ctx, a.asking, stillDeadline, func(ctx context.Context) (answer, error) {
		login, ok, err := a.Store.Login(ctx, name, device)
		return answer{login, ok}, err
	})
	return got.login, got.ok, err
}

// maxAsking is how many questions the store is asked at the same time: of one that does not answer no more are left behind.
const maxAsking = 1024

// ask puts a question to the store, and waits for the answer no longer than the deadline: a store that ignores ctx must not hold up the client.
func ask[T any](ctx context.Context, asking chan struct{}, deadline time.Duration, question func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	type answer struct {
		got T
		err error
	}
	answers := make(chan answer, 1)
	var none T
	select {
	case asking <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	go func() { // ends with ctx, or with the store
		defer func() { <-asking }()
		got, err := question(ctx)
		answers <- answer{got, err}
	}()
	select {
	case a := <-answers:
		return a.got, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
