//go:build e2e

package powercut

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var port = regexp.MustCompile(`port=htons\((\d+)\)`)

// answers finds where in the record of a run the mails were answered at a door, which is the port of a listener: a client counts what it
// receives, and the record what is written.
func answers(calls []*call, door string, mails []*mail) error {
	listeners := map[string]string{} // their ports
	turns := map[string]int{}        // by the client's port, which may come again
	waiting := map[string][]*mail{}  // by connection, in order
	written := map[string]int{}
	for _, c := range calls {
		switch {
		case !c.ok():
		case c.name == "bind":
			if found := port.FindStringSubmatch(c.args[1]); found != nil {
				listeners[c.file(0)] = found[1]
			}
		case c.name == "accept4" && listeners[c.file(0)] == door:
			found := port.FindStringSubmatch(c.args[1])
			if found == nil {
				return fmt.Errorf("line %d: nobody connects: %q", c.begin, c.args)
			}
			turns[found[1]]++
			for _, m := range mails {
				if strconv.Itoa(m.port) == found[1] && m.turn == turns[found[1]] {
					waiting[inAngles(c.result)] = append(waiting[inAngles(c.result)], m)
				}
			}
		case c.name == "write" && strings.HasPrefix(c.file(0), "socket:"):
			n, err := strconv.Atoi(c.result)
			if err != nil {
				return err
			}
			socket := c.file(0)
			written[socket] += n
			if of := waiting[socket]; len(of) > 0 && written[socket] >= of[0].octets {
				if written[socket] > of[0].octets {
					return fmt.Errorf("line %d: the server has written %d octets, and its client had %d when it was answered", c.begin, written[socket], of[0].octets)
				}
				of[0].answered, waiting[socket] = c.begin, of[1:]
			}
		}
	}
	for _, m := range mails {
		if m.answered == 0 {
			return fmt.Errorf("the answer to mail %d, %s, is not in the record", m.number, m.id)
		}
	}
	return nil
}
