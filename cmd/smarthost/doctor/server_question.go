package doctor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// ednsSize is how long an answer by UDP may be (RFC 6891 §6.2.5): what fits into any packet.
const ednsSize = 1232

// A question is one to name servers, packed.
type question struct {
	asked dnsmessage.Question
	id    uint16
	text  []byte
}

// newQuestion fails if the name is none (RFC 1035 §2.3.4).
func newQuestion(name string, kind dnsmessage.Type) (*question, error) {
	fqdn, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return nil, err
	}
	q := &question{asked: dnsmessage.Question{Name: fqdn, Type: kind, Class: dnsmessage.ClassINET}, id: uint16(rand.Uint32())}
	var opt dnsmessage.ResourceHeader
	if err := opt.SetEDNS0(ednsSize, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header:      dnsmessage.Header{ID: q.id, RecursionDesired: true},
		Questions:   []dnsmessage.Question{q.asked},
		Additionals: []dnsmessage.Resource{{Header: opt, Body: &dnsmessage.OPTResource{}}},
	}
	q.text, err = m.Pack()
	return q, err
}

// exchange asks one name server, by TCP if the answer is too long for UDP.
func (q *question) exchange(ctx context.Context, server string) (*dnsmessage.Message, error) {
	m, err := q.over(ctx, "udp", server)
	if err == nil && m.Truncated {
		m, err = q.over(ctx, "tcp", server)
	}
	return m, err
}

func (q *question) over(ctx context.Context, network, server string) (*dnsmessage.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	until, _ := ctx.Deadline()
	if err := c.SetDeadline(until); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	if network == "tcp" {
		return q.overTCP(c)
	}
	if _, err := c.Write(q.text); err != nil {
		return nil, err
	}
	packet := make([]byte, ednsSize)
	for { // what answers something else is not for us, and may be somebody's attempt
		n, err := c.Read(packet)
		if err != nil {
			return nil, err
		}
		if m, err := q.answer(packet[:n]); err == nil {
			return m, nil
		}
	}
}

// overTCP puts the length before a message (RFC 1035 §4.2.2).
func (q *question) overTCP(c net.Conn) (*dnsmessage.Message, error) {
	if _, err := c.Write(slices.Concat(binary.BigEndian.AppendUint16(nil, uint16(len(q.text))), q.text)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil, err
	}
	text := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, text); err != nil {
		return nil, err
	}
	return q.answer(text)
}

// answer reads the answer to this question. Records of a kind that is not understood are in it as they are; a message that was cut
// off is good for no more than that.
func (q *question) answer(text []byte) (*dnsmessage.Message, error) {
	m := new(dnsmessage.Message)
	var p dnsmessage.Parser
	var err error
	if m.Header, err = p.Start(text); err != nil {
		return nil, err
	}
	if m.Questions, err = p.AllQuestions(); err != nil {
		return nil, err
	}
	if m.ID != q.id || !m.Response || len(m.Questions) != 1 || m.Questions[0].Type != q.asked.Type || m.Questions[0].Class != q.asked.Class ||
		!strings.EqualFold(m.Questions[0].Name.String(), q.asked.Name.String()) {
		return nil, errors.New("not the answer to this question")
	}
	if m.Truncated {
		return m, nil
	}
	m.Answers, err = p.AllAnswers()
	return m, err
}

// reverseName is the name under which DNS keeps the names of an address (RFC 1035 §3.5, RFC 3596 §2.5).
func reverseName(ip netip.Addr) string {
	var name strings.Builder
	for _, b := range slices.Backward(ip.AsSlice()) {
		if ip.Is4() {
			fmt.Fprintf(&name, "%d.", b)
		} else {
			fmt.Fprintf(&name, "%x.%x.", b&15, b>>4)
		}
	}
	if ip.Is4() {
		return name.String() + "in-addr.arpa."
	}
	return name.String() + "ip6.arpa."
}
