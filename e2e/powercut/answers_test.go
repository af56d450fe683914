//go:build e2e

package powercut

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var port = regexp.MustCompile(`port=htons\((\d+)\)`)

// answers finds where in the record of a run the mails were answered: a client counts what it receives, and the record what is written.
func answers(calls []*call, mails []*mail) error {
	waiting := map[string][]*mail{} // by connection, in order
	written := map[string]int{}
	for _, c := range calls {
		switch {
		case c.name == "accept4" && c.ok():
			if found := port.FindStringSubmatch(c.args[1]); found != nil {
				for _, m := range mails {
					if strconv.Itoa(m.port) == found[1] {
						waiting[inAngles(c.result)] = append(waiting[inAngles(c.result)], m)
					}
				}
			}
		case c.name == "write" && c.ok() && strings.HasPrefix(c.file(0), "socket:"):
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
	for socket, of := range waiting {
		if len(of) > 0 {
			return fmt.Errorf("%d answers are not in the record of %s", len(of), socket)
		}
	}
	return nil
}
