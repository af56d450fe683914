package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

const maxShapes = 64 // of accounts that are remembered

// dummies stand for the accounts that do not exist: for each name the hashes that an account of that name might have.
// How many and of which costs, that is the account's shape, is taken from those accounts that somebody tried to log in to.
type dummies struct {
	mu     sync.Mutex
	shapes [][]int // bcrypt costs of each login, in the store's order; sorted, none twice
	made   map[int][]byte
}

// saw remembers the shape of an account.
func (d *dummies) saw(logins []Login) {
	shape := make([]int, 0, len(logins))
	for _, l := range logins {
		if cost, err := bcrypt.Cost(l.Hash); err == nil { // a damaged hash costs nothing
			shape = append(shape, cost)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	i, found := slices.BinarySearchFunc(d.shapes, shape, slices.Compare)
	if !found && len(shape) > 0 && len(d.shapes) < maxShapes {
		d.shapes = slices.Insert(d.shapes, i, shape)
	}
}

// hashes are the same for a name each time, as a real account's would be.
func (d *dummies) hashes(key []byte, name string) [][]byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("dummy " + name))
	choice := binary.BigEndian.Uint64(mac.Sum(nil))
	d.mu.Lock()
	defer d.mu.Unlock()
	shape := []int{ChosenCost}
	if len(d.shapes) > 0 {
		shape = d.shapes[choice%uint64(len(d.shapes))]
	}
	hashes := make([][]byte, len(shape))
	for i, cost := range shape {
		hashes[i] = d.make(cost)
	}
	return hashes
}

// make returns a hash of that cost. Whose password it is does not matter: the comparison is made for its time. The lock is held.
func (d *dummies) make(cost int) []byte {
	if h, ok := d.made[cost]; ok {
		return h
	}
	h, err := bcrypt.GenerateFromPassword([]byte("nobody"), cost)
	if err != nil {
		panic(err) // the password is short and the cost is one of bcrypt's
	}
	if d.made == nil {
		d.made = map[int][]byte{}
	}
	d.made[cost] = h
	return h
}
