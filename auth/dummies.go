package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	maxShapes   = 64 // of accounts that are remembered
	sampleSize  = 256
	sampleEvery = time.Minute
)

// dummies stand for the accounts that do not exist: for each name the hashes that an account of that name might have.
// How many and of which costs, that is the account's shape, is taken from those accounts that somebody tried to log in to,
// and from samples of all.
type dummies struct {
	mu      sync.Mutex
	shapes  [][]int // bcrypt costs of the comparisons that one password takes; sorted, none twice
	sampled time.Time
}

// due tells whether it is time to look at a sample of the accounts; whoever is told so does it.
func (d *dummies) due(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.sampled.IsZero() && now.Sub(d.sampled).Abs() < sampleEvery {
		return false
	}
	d.sampled = now
	return true
}

// saw remembers the shape of an account: all logins without a tag, and one for those with one.
func (d *dummies) saw(logins []Login) {
	var shape []int
	for i := range logins {
		l := &logins[i]
		if l.Tag != "" || len(shape) == maxLogins {
			continue
		}
		if cost, err := bcrypt.Cost(l.Hash); err == nil { // a damaged hash costs nothing
			shape = append(shape, cost)
		}
	}
	if cost := taggedCost(logins); cost > 0 {
		shape = append(shape, cost)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	i, found := slices.BinarySearchFunc(d.shapes, shape, slices.Compare)
	if !found && len(shape) > 0 && len(d.shapes) < maxShapes {
		d.shapes = slices.Insert(d.shapes, i, shape)
	}
}

// hashes have the same costs for a name each time, as a real account's would.
func (d *dummies) hashes(key []byte, name string) [][]byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("dummy " + name))
	choice := binary.BigEndian.Uint64(mac.Sum(nil))
	shape := []int{ChosenCost}
	d.mu.Lock()
	if len(d.shapes) > 0 {
		shape = d.shapes[choice%uint64(len(d.shapes))] // never changed once it is there
	}
	d.mu.Unlock()
	hashes := make([][]byte, len(shape))
	for i, cost := range shape {
		hashes[i] = dummy(cost)
	}
	return hashes
}

// dummy is a hash of that cost, of no password that anybody knows: a comparison with it is made for its time.
func dummy(cost int) []byte {
	return fmt.Appendf(nil, "$2a$%02d$%s", cost, strings.Repeat(".", 22+31)) // salt and sum
}
