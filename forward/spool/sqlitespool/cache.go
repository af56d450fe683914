package sqlitespool

import (
	"sync"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// cacheOctets bounds the memory for messages that have just come in. Most of them are delivered before they are driven out.
const cacheOctets = 8 << 20

// kept is a message that was committed lately.
type kept struct {
	envelope  spool.Envelope // without recipients
	top, body []byte         // body is nil if file
	file      bool
}

func (k *kept) octets() int { return 1024 + len(k.top) + len(k.body) }

// A cache spares fresh messages the way back from the database. It holds what never changes after Commit, so it cannot be wrong,
// only incomplete. The oldest goes first.
type cache struct {
	mu     sync.Mutex
	byID   map[string]*kept
	order  []string // ids in the order of arrival; those that were dropped are passed over
	octets int
}

func (c *cache) put(k *kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = map[string]*kept{}
	}
	c.byID[k.envelope.ID] = k
	c.order = append(c.order, k.envelope.ID)
	c.octets += k.octets()
	for c.octets > cacheOctets || len(c.order) > 2*len(c.byID)+64 {
		c.forget()
	}
}

// forget takes the first of the order out.
func (c *cache) forget() {
	id := c.order[0]
	c.order = c.order[1:]
	c.remove(id)
}

func (c *cache) remove(id string) {
	if k := c.byID[id]; k != nil {
		delete(c.byID, id)
		c.octets -= k.octets()
	}
}

func (c *cache) get(id string) *kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id]
}

func (c *cache) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(id)
}
