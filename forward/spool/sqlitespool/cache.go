package sqlitespool

import (
	"slices"
	"sync"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

const (
	cacheOctets = 8 << 20          // of memory for messages that have just come in; most of them are delivered before it is full
	cacheAge    = 30 * time.Second // after which a message that is still there gives way to a new one
)

// kept is a message that was committed lately.
type kept struct {
	envelope  spool.Envelope // without recipients
	top, body []byte         // body is nil if file
	file      bool
	since     time.Time
}

func (k *kept) octets() int { return 1024 + len(k.top) + len(k.body) }

// A cache spares fresh messages the way back from the database. It holds what never changes after Commit, so it cannot be wrong,
// only incomplete. When it is full, new messages are left out: those before them are delivered first. What has not been delivered for
// a while waits for something else, and makes room.
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
	k.since = time.Now()
	for c.octets+k.octets() > cacheOctets {
		if oldest := c.oldest(); oldest == nil || k.since.Sub(oldest.since) < cacheAge {
			return
		}
		c.remove(c.order[0])
	}
	c.byID[k.envelope.ID] = k
	c.order = append(c.order, k.envelope.ID)
	c.octets += k.octets()
	if len(c.order) > 2*len(c.byID)+64 {
		c.order = slices.DeleteFunc(c.order, func(id string) bool { return c.byID[id] == nil })
	}
}

// oldest is the first of those in the order that are still there.
func (c *cache) oldest() *kept {
	for len(c.order) > 0 {
		if k := c.byID[c.order[0]]; k != nil {
			return k
		}
		c.order = c.order[1:]
	}
	return nil
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
