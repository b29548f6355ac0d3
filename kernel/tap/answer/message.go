package answer

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"
)

// Bounds of what one message may have us remember. A chain of CNAMEs is followed as far as
// resolvers do.
const (
	maxChain     = 16
	maxAddresses = 256
)

// maxTTL caps the time to live that a server may ask for, as resolvers do (RFC 8767, section 4).
const maxTTL = 7 * 24 * 60 * 60

// Keys of a service binding's address hints (RFC 9460, section 14.3.2).
const (
	hint4 = 4
	hint6 = 6
)

// Answer is what a message teaches.
type Answer struct {
	// Name is the name that was asked for, in lower case and without a closing dot.
	Name string
	// Lists are those that the name belongs to. They are valid until the next Read.
	Lists []int
	// Addresses are valid until the next Read.
	Addresses []Address
}

// Address is an address with the time in seconds that the server allows to keep it.
type Address struct {
	Addr netip.Addr
	TTL  uint32
}

// Reader reads messages, one after the other.
type Reader struct {
	names     *Names
	parser    dnsmessage.Parser
	chain     [maxChain]dnsmessage.Name
	links     int
	lists     []int
	addresses []Address
}

// NewReader returns a Reader for lists.
func NewReader(names *Names) *Reader { return &Reader{names: names} }

// Read reads a message. ok is false unless it is an answer to one question, for a name of one of
// the lists, with addresses. Whatever is wrong with a message ends its reading; what came before
// counts, as in an answer that was truncated.
func (r *Reader) Read(msg []byte) (a Answer, ok bool) {
	question, ok := r.question(msg)
	if !ok {
		return a, false
	}
	name := lower(&question.Name)
	r.lists = r.names.Find(r.lists[:0], name)
	if len(r.lists) == 0 {
		return a, false
	}
	r.chain[0], r.links, r.addresses = question.Name, 1, r.addresses[:0]
	for len(r.addresses) < maxAddresses && r.record() {
	}
	return Answer{Name: string(name), Lists: r.lists, Addresses: r.addresses}, len(r.addresses) > 0
}

// question reads up to the question; ok is false if the message is not an answer that counts.
func (r *Reader) question(msg []byte) (q dnsmessage.Question, ok bool) {
	const counts = 12 // bytes of a header (RFC 1035, section 4.1.1)
	if len(msg) < counts || binary.BigEndian.Uint16(msg[4:]) != 1 || binary.BigEndian.Uint16(msg[6:]) == 0 {
		return q, false
	}
	h, err := r.parser.Start(msg)
	if err != nil || !h.Response || h.OpCode != 0 || h.RCode != dnsmessage.RCodeSuccess {
		return q, false
	}
	if q, err = r.parser.Question(); err != nil || q.Class != dnsmessage.ClassINET || r.parser.SkipAllQuestions() != nil {
		return q, false
	}
	return q, true
}

// record reads one record of the answer; it reports whether there was one.
func (r *Reader) record() bool {
	h, err := r.parser.AnswerHeader()
	if err != nil {
		return false
	}
	if h.Class != dnsmessage.ClassINET || !r.inChain(&h.Name) {
		return r.parser.SkipAnswer() == nil
	}
	switch h.Type {
	case dnsmessage.TypeA:
		body, err := r.parser.AResource()
		return r.add(netip.AddrFrom4(body.A), h.TTL, err)
	case dnsmessage.TypeAAAA:
		body, err := r.parser.AAAAResource()
		return r.add(netip.AddrFrom16(body.AAAA), h.TTL, err)
	case dnsmessage.TypeCNAME:
		body, err := r.parser.CNAMEResource()
		if err == nil && r.links < maxChain {
			lower(&body.CNAME)
			r.chain[r.links] = body.CNAME
			r.links++
		}
		return err == nil
	case dnsmessage.TypeHTTPS, dnsmessage.TypeSVCB:
		body, err := r.parser.UnknownResource()
		return err == nil && r.hints(body.Data, h.TTL)
	}
	return r.parser.SkipAnswer() == nil
}

// inChain reports whether a record is of the name that was asked for, or of one that CNAMEs lead to
// from there: a server may not teach others by the way.
func (r *Reader) inChain(owner *dnsmessage.Name) bool {
	lower(owner)
	for i := range r.links {
		if *owner == r.chain[i] {
			return true
		}
	}
	return false
}

func (r *Reader) add(addr netip.Addr, ttl uint32, err error) bool {
	if err != nil {
		return false
	}
	if ttl > 1<<31-1 {
		ttl = 0 // RFC 2181, section 8
	}
	r.addresses = append(r.addresses, Address{addr, min(ttl, maxTTL)})
	return true
}

// hints reads the address hints of a service binding, which browsers connect to without asking
// further (RFC 9460, section 7.3): a priority, a target's name, and parameters of a key, a length
// and a value. It returns false where that is not what there is.
func (r *Reader) hints(b []byte, ttl uint32) bool {
	if len(b) < 3 {
		return false
	}
	b = b[2:]
	for b[0] != 0 { // the target is never compressed
		n := 1 + int(b[0])
		if b[0] >= 0x40 || len(b) <= n {
			return false
		}
		b = b[n:]
	}
	for b = b[1:]; len(b) >= 4; {
		key, n := binary.BigEndian.Uint16(b), 4+int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b) {
			return false
		}
		r.hint(key, b[4:n], ttl)
		b = b[n:]
	}
	return len(b) == 0
}

func (r *Reader) hint(key uint16, v []byte, ttl uint32) {
	size := map[uint16]int{hint4: 4, hint6: 16}[key]
	for size > 0 && len(v) >= size && len(r.addresses) < maxAddresses {
		addr, _ := netip.AddrFromSlice(v[:size])
		r.add(addr, ttl, nil)
		v = v[size:]
	}
}

// lower puts a name into lower case (RFC 4343), and returns it without the closing dot.
func lower(n *dnsmessage.Name) []byte {
	b := n.Data[:n.Length]
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return bytes.TrimSuffix(b, []byte("."))
}
