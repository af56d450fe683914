package sqlitespool

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// mostOrders is how many orders for one delivery are remembered; the oldest go first.
const mostOrders = 32

// pastOrder is spool.Ordered without what has a column of its own.
type pastOrder struct {
	At    int64      `json:"at"` // milliseconds
	Do    spool.Verb `json:"do"`
	Relay string     `json:"relay,omitempty"` // without its login
	By    octets     `json:"by,omitempty"`
}

// orderSumLength is the length of the checksum that stands before the JSON in a delivery's orders, in hexadecimal, with a space.
const orderSumLength = 9

func orderSum(id, destination string, text []byte) string {
	return fmt.Sprintf("%08x ", sum([]byte(id), []byte(destination), text))
}

// readOrders is what a delivery's row says of orders. What is damaged tells nothing: mail must not wait for it.
func readOrders(id, destination string, kept []byte) (all []pastOrder) {
	if len(kept) < orderSumLength || string(kept[:orderSumLength]) != orderSum(id, destination, kept[orderSumLength:]) {
		return nil
	}
	if json.Unmarshal(kept[orderSumLength:], &all) != nil {
		return nil
	}
	return all
}

// addOrder is what the row says with one more.
func addOrder(id, destination string, kept []byte, o pastOrder) ([]byte, error) {
	all := append(readOrders(id, destination, kept), o)
	text, err := json.Marshal(all[max(0, len(all)-mostOrders):])
	return append([]byte(orderSum(id, destination, text)), text...), err
}

// noteOrders puts the orders for a delivery that is gone into the history.
func (b *batch) noteOrders(s *Spool, id, destination string, kept []byte) error {
	all := readOrders(id, destination, kept)
	if s.config.History == 0 || len(all) == 0 {
		return nil
	}
	record, err := json.Marshal(pastAttempt{Destination: octets(destination), Orders: all})
	if err != nil {
		return err
	}
	p := past{message: id, record: record}
	return p.insert(b, false)
}

func ordered(destination string, all []pastOrder) []spool.Ordered {
	list := make([]spool.Ordered, len(all))
	for i, o := range all {
		list[i] = spool.Ordered{At: time.UnixMilli(o.At), Destination: destination, Verb: o.Do, Relay: spool.Relay(o.Relay), By: string(o.By)}
	}
	return list
}
