package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/text/secure/precis"
)

// What an Authenticator's zero fields mean.
const (
	standardDeadline = 10 * time.Second // swaks gives up after 30 s
	standardWaiting  = 1024
	standardVerified = 1 << 16
	verifyWithin     = 25 * time.Second // all of it: swaks gives up after 30 s
	verifiedFor      = 24 * time.Hour
)

// MaxPassword is how many octets of a password bcrypt looks at; longer ones are refused, or their end would not count.
const MaxPassword = 72

const (
	maxName   = 255 // octets of a user name
	maxLogins = 64  // secrets of one account that are tried: without a tag, and with the same one
)

// Authenticator verifies credentials. Its fields must not change once Begin was called; its methods may be called at the same time.
type Authenticator struct {
	Store         Store      // required
	Sightings     *Sightings // where logins that were of use are noted; nil: nowhere
	Log           zerolog.Logger
	Deadline      time.Duration         // for the store's answer, and again for the place of a bcrypt run; 0 is 10 s
	Verifications int                   // bcrypt runs at the same time; 0 is GOMAXPROCS
	Waiting       int                   // logins that may wait for their run; 0 is 1024
	Metrics       prometheus.Registerer // where logins are counted; nil: nowhere

	once     sync.Once
	running  chan struct{} // holds Verifications tokens
	waiting  chan struct{} // holds Waiting tokens
	asking   chan struct{} // holds a token for each question to the store
	key      [32]byte      // of the cache and of the choice of dummies
	verified *lru.Cache[[sha256.Size]byte, time.Time]
	throttle throttle
	dummies  dummies
	metrics  *metrics
}

func (a *Authenticator) prepare() {
	verifications, waiting := a.Verifications, a.Waiting
	if verifications == 0 {
		verifications = runtime.GOMAXPROCS(0)
	}
	if waiting == 0 {
		waiting = standardWaiting
	}
	a.running = make(chan struct{}, verifications)
	a.waiting = make(chan struct{}, waiting+verifications)
	a.asking = make(chan struct{}, maxAsking)
	rand.Read(a.key[:])
	a.verified = newCache[[sha256.Size]byte, time.Time](standardVerified)
	a.throttle.prepare()
	a.metrics = newMetrics(a.Metrics)
}

func newCache[K comparable, V any](size int) *lru.Cache[K, V] {
	c, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // the size is a constant above 0
	}
	return c
}

// Mechanisms are those that Begin knows. LOGIN is for clients that know nothing else.
func (a *Authenticator) Mechanisms() []string {
	a.once.Do(a.prepare)
	return []string{sasl.Plain, sasl.Login}
}

// Begin starts one exchange. What Next returns as error is the reply: 535 5.7.8 for credentials that are wrong, whichever part
// of them, or for right ones that have expired or are not allowed from there, which the words say; 454 4.7.0 if that could not be found out;
// 501 5.5.2 for a malformed response. ok is called once, on success.
// ctx ends the exchange and whatever it waits for. The error of Begin is 504 5.5.4, the mechanism is not known.
func (a *Authenticator) Begin(ctx context.Context, mechanism string, peer Peer, ok func(Login)) (sasl.Server, error) {
	a.once.Do(a.prepare)
	mechanism = strings.ToUpper(mechanism)
	try := func(authzid, user string, password []byte) error {
		begin := time.Now()
		ctx, cancel := context.WithTimeout(ctx, verifyWithin)
		defer cancel()
		l, err := a.verify(ctx, peer, authzid, user, password)
		how := resultOf(err)
		if err == nil {
			if why := l.lapsed(peer.Addr); why != "" {
				how, err = resultLapsed, errLapsed(why)
			}
		}
		a.metrics.decided(mechanism, how, time.Since(begin))
		if err != nil {
			return err
		}
		a.Sightings.note(*l, peer)
		ok(*l)
		return nil
	}
	switch mechanism {
	case sasl.Plain:
		return &plain{try: try}, nil
	case sasl.Login:
		return &login{try: try}, nil
	}
	return nil, &smtp.SMTPError{Code: 504, EnhancedCode: smtp.EnhancedCode{5, 5, 4},
		Message: "This mechanism is not known here; use AUTH PLAIN or AUTH LOGIN"}
}

func errWrong() *smtp.SMTPError {
	return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "Wrong user name or password"}
}

// ErrNoAccount is the 535 for a name that has no login at all; a *smtp.SMTPError that says the same as any other. Whoever hands it on may
// know more of the client, such as that this name has logged in from there lately, and that the account must have been there then.
var ErrNoAccount error = errWrong()

// errLapsed refuses a secret that is right. Nobody learns anything by it who does not know the secret.
func errLapsed(why string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: strings.ToUpper(why[:1]) + why[1:]}
}

func errUnavailable(words string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: 454, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: words}
}

func errSlow() *smtp.SMTPError {
	return errUnavailable("The login took too long; keep the message and try again")
}

// FoldName is the form in which user names are compared and stored (RFC 8265 §3.3, UsernameCaseMapped).
// It fails for what cannot be a user name.
func FoldName(name string) (string, error) {
	if name == "" || len(name) > maxName {
		return "", errors.New("a user name has 1 to 255 octets")
	}
	folded, err := precis.UsernameCaseMapped.CompareKey(name)
	if err != nil {
		return "", errors.New("a user name consists of letters, digits and signs, without blanks")
	}
	return folded, nil
}

// verify finds the login that a pair of credentials is right for, whether it is of use or not.
func (a *Authenticator) verify(ctx context.Context, peer Peer, authzid, user string, password []byte) (*Login, error) {
	name, err := FoldName(user)
	possible := err == nil && len(password) > 0 && len(password) <= MaxPassword && !slices.Contains(password, 0)
	if authzid != "" { // RFC 4616 §2: to act as somebody else is not allowed to anyone
		other, err := FoldName(authzid)
		possible = possible && err == nil && other == name
	}
	var logins []Login
	if possible {
		if logins, err = a.logins(ctx, name); err != nil {
			return nil, err
		}
	}
	can := candidatesFor(logins, password, peer.Addr)
	// Who is known to have the right password does not wait, however many others guess from the same address.
	if l := a.known(name, password, can.logins); l != nil {
		return l, nil
	}
	done, err := a.throttle.enter(ctx, peer.Addr, name)
	if err != nil {
		return nil, err
	}
	if l := a.known(name, password, can.logins); l != nil { // verified for another connection while this one waited
		done(undecided)
		return l, nil
	}
	found, err := a.compare(ctx, name, password, logins, can)
	switch {
	case err != nil:
		done(undecided)
		return nil, err
	case found == nil:
		done(wrong)
		if possible && len(logins) == 0 {
			return nil, ErrNoAccount
		}
		return nil, errWrong()
	case found.lapsed(peer.Addr) != "": // no guess, and nothing to remember
		done(undecided)
		return found, nil
	}
	done(right)
	a.verified.Add(a.cacheKey(name, password, found.Hash), time.Now().Add(verifiedFor))
	return found, nil
}

// known finds the login that these credentials were verified for not long ago.
func (a *Authenticator) known(name string, password []byte, logins []Login) *Login {
	for i, l := range logins {
		if until, ok := a.verified.Get(a.cacheKey(name, password, l.Hash)); ok && time.Now().Before(until) {
			return &logins[i]
		}
	}
	return nil
}

func (a *Authenticator) deadline() time.Duration {
	if a.Deadline == 0 {
		return standardDeadline
	}
	return a.Deadline
}

// logins asks the store.
func (a *Authenticator) logins(ctx context.Context, name string) ([]Login, error) {
	logins, err := ask(ctx, a.asking, a.deadline(), func(ctx context.Context) ([]Login, error) {
		logins, err := a.Store.Logins(ctx, name)
		if err == nil && len(logins) == 0 && a.dummies.due(time.Now()) {
			for _, some := range a.Store.Sample(ctx, sampleSize) {
				a.dummies.saw(some)
			}
		}
		return logins, err
	})
	if err != nil {
		a.metrics.storeFailed.Inc()
		a.Log.Error().Err(err).Msg("the accounts cannot be read; clients are told to try again")
		return nil, errUnavailable("The accounts cannot be read at the moment; keep the message and try again")
	}
	return logins, nil
}

// compare runs bcrypt for each candidate, or as often for nobody, so that a name that does not exist takes as long as one that does.
func (a *Authenticator) compare(ctx context.Context, name string, password []byte, logins []Login, can candidates) (*Login, error) {
	select {
	case a.waiting <- struct{}{}:
		defer func() { <-a.waiting }()
	default:
		return nil, errUnavailable("Too many logins at the same time; keep the message and try again")
	}
	ctx, cancel := context.WithTimeout(ctx, a.deadline())
	defer cancel()
	select {
	case a.running <- struct{}{}:
		defer func() { <-a.running }()
	case <-ctx.Done():
		return nil, errSlow()
	}
	if len(logins) == 0 {
		for _, hash := range a.dummies.hashes(a.key[:], name) {
			bcrypt.CompareHashAndPassword(hash, password[:min(len(password), MaxPassword)])
		}
		return nil, nil
	}
	a.dummies.saw(logins)
	for i := range can.logins {
		if bcrypt.CompareHashAndPassword(can.logins[i].Hash, password) == nil {
			return &can.logins[i], nil
		}
	}
	if can.blank > 0 {
		bcrypt.CompareHashAndPassword(dummy(can.blank), password)
	}
	return nil, nil
}

// cacheKey stands for credentials that were verified against hash: another hash makes another key.
func (a *Authenticator) cacheKey(name string, password, hash []byte) (key [sha256.Size]byte) {
	mac := hmac.New(sha256.New, a.key[:])
	for _, part := range [][]byte{[]byte(name), password, hash} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write(part)
	}
	mac.Sum(key[:0])
	return key
}
