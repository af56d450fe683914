package auth

import (
	"context"
	"net/netip"
	"time"
)

// Account is who logged in, and what the rest of the mail's way needs to know of them.
type Account struct {
	Name    string   // as stored: folded to lower case, compared after PRECIS UsernameCaseMapped
	Device  string   // which of the account's secrets was used; "" if the account has a single one
	Class   string   // name of the limits that apply; "" means "default"
	Senders []string // patterns of addresses it may send as: "a@b", "*@b", "*"; empty: its own name only
	// OwnLimits tells that the device has a Class of its own, and so limits that it shares with no other device of the account.
	OwnLimits bool
}

// Peer is the client as far as it is known before it logs in.
type Peer struct {
	Addr    netip.Addr // the client's address, after PROXY protocol
	Hello   string     // the argument of EHLO or HELO, checked by the guard
	Session string     // the session's id, for logs
}

// A Login is one secret with which one account may log in.
type Login struct {
	Account
	Hash     []byte         // bcrypt: $2a$, $2b$ or $2y$
	Tag      string         // the public beginning of a generated secret, see [Tag]; "": the secret has none
	Expires  time.Time      // from then on the secret is of no use; zero: never
	Networks []netip.Prefix // where the client must be, IPv4 ones not mapped into IPv6; empty: anywhere
}

// A Store keeps accounts. The Authenticator calls it from many goroutines at once, with a deadline in ctx: Logins once for each login
// attempt, Login twice for each message of a session that has logged in, Sample now and then.
type Store interface {
	// Logins returns every login of the account of that name (already folded, see [Account.Name]). The slice is not changed by anybody.
	// No login and no error: there is no such account. Any error means the store could not tell; the client is then
	// asked to try again (454), never told that its password is wrong.
	Logins(ctx context.Context, name string) ([]Login, error)
	// Login returns the login of one device of an account; ok is false if there is none.
	Login(ctx context.Context, name, device string) (l Login, ok bool, err error)
	// Sample returns the logins of at most n accounts, whichever. What it cannot find out it leaves out.
	Sample(ctx context.Context, n int) [][]Login
}

// A Recaller is a Store that mostly knows without waiting for anything, as one that keeps its accounts in memory. Login is asked only when it does not.
type Recaller interface {
	// Recall returns what Login would, at once; known is false if it would have to wait, or fail.
	Recall(name, device string) (l Login, ok, known bool)
}
