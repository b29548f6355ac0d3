package nft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// hostEndian reports whether the kernel holds a type in its own byte order. Interval sets and
// ranges have them big-endian, because they compare bytes.
func hostEndian(t plan.Type) bool {
	switch t {
	case plan.TypeMark, plan.TypeUID, plan.TypeGID, plan.TypeTime, plan.TypeCTState, plan.TypeCTStatus,
		plan.TypeFibAddrType, plan.TypeNumber, plan.TypePresence, plan.TypeClass, plan.TypeCgroup:
		return true
	}
	return false
}

// ruleEncoder turns rules into expressions.
type ruleEncoder struct {
	exprs
	// sets are the named sets of the table.
	sets map[string]*plan.Set
	// bCopies names those that the kernel has as their B copy.
	bCopies map[string]bool
	// family, proto and ether are what the matches so far have tested: a meta nfproto and a meta
	// l4proto value (0 unknown), and that the packet came by Ethernet. nft tests each once a rule.
	family, proto uint8
	ether         bool
}

// match writes a match with the tests that it implies.
func (e *ruleEncoder) match(m *plan.Match) error {
	if m.Field == 0 || int(m.Field) >= len(sources) {
		return fmt.Errorf("field %d is unknown", m.Field)
	}
	src := &sources[m.Field]
	e.imply(src)
	e.learn(m)
	width := m.Field.Type().Width()
	switch {
	case m.Set != "":
		return e.find(m, src, false)
	case m.Wildcard:
		e.load(src, src.place)
		e.cmp(equality(m.Not), []byte(m.From.Text()))
	case m.From == m.To:
		e.load(src, src.place)
		e.mask(m, src)
		e.cmp(equality(m.Not), src.value(m.From, width))
	case src.prefixes && prefixLen(m.From, m.To, width) >= 0:
		e.prefix(m, src, prefixLen(m.From, m.To, width))
	case m.Mask != 0:
		return fmt.Errorf("a range under a mask has no form in nftables")
	default:
		e.inRange(m, src, width)
	}
	return nil
}

// find looks the field up in the match's set; with vmap the verdict found there is the rule's.
func (e *ruleEncoder) find(m *plan.Match, src *source, vmap bool) error {
	set := e.sets[m.Set]
	if set == nil {
		return fmt.Errorf("set %q is not in the table", m.Set)
	}
	if len(set.Concat) > 0 {
		return fmt.Errorf("set %q has keys of several fields", m.Set)
	}
	if src.spansBytes() {
		// A shift across bytes has no form that is right on all machines, and nft 1.0.6 and 1.1.3
		// write different ones.
		return fmt.Errorf("set %q: ip6 dscp cannot be looked up", m.Set)
	}
	e.load(src, src.place)
	e.mask(m, src)
	if src.shift != 0 {
		e.shiftRight(src.place.len, uint32(src.shift))
	}
	if set.Interval && hostEndian(m.Field.Type()) {
		e.hton(reg1, m.Field.Type().Width())
	}
	e.lookup(e.kernelSet(m.Set), m.Not, vmap)
	return nil
}

func (e *ruleEncoder) kernelSet(name string) string { return kernelSet(e.bCopies, name) }

// planSet reads the name that the kernel has for a set, and returns the set's own.
func (e *ruleEncoder) planSet(v []byte) string { return planSet(e.bCopies, text(v)) }

// inRange compares with an interval of values.
func (e *ruleEncoder) inRange(m *plan.Match, src *source, width int) {
	e.load(src, src.place)
	e.mask(m, src)
	from, to := src.value(m.From, width), src.value(m.To, width)
	if hostEndian(m.Field.Type()) {
		e.hton(reg1, width)
		from, to = m.From[:width], m.To[:width]
	}
	if m.Not {
		e.notInRange(from, to)
		return
	}
	e.cmp(unix.NFT_CMP_GTE, from)
	e.cmp(unix.NFT_CMP_LTE, to)
}

// prefix compares the first n bits of an address: by loading whole bytes alone, or else under a
// mask.
func (e *ruleEncoder) prefix(m *plan.Match, src *source, n int) {
	place := src.place
	if n%8 == 0 && n > 0 {
		place.len = uint32(n / 8)
		e.load(src, place)
		e.cmp(equality(m.Not), m.From[:n/8])
		return
	}
	width := int(place.len)
	e.load(src, place)
	e.bitwise(prefixMask(n, width), make([]byte, width))
	e.cmp(equality(m.Not), m.From[:width])
}

// load reads the field into the register; place says which part of it, for fields of the packet.
func (e *ruleEncoder) load(src *source, place payload) {
	switch src.kind {
	case fromMeta:
		e.metaLoad(src.key)
	case fromCT:
		e.ctLoad(src.key)
	case fromFib:
		e.fib(src.key)
	case fromCgroup:
		e.cgroup(src.key)
	case fromPayload:
		e.payload(place)
	}
}

// mask leaves the bits of the register that the match is about.
func (e *ruleEncoder) mask(m *plan.Match, src *source) {
	switch {
	case m.Mask != 0:
		e.bitwise(binary.NativeEndian.AppendUint32(nil, m.Mask), make([]byte, 4))
	case src.mask != nil:
		e.bitwise(src.mask, make([]byte, len(src.mask)))
	}
}

// imply writes the tests that nft puts before a match on the field, unless the rule has them
// already.
func (e *ruleEncoder) imply(src *source) {
	if src.proto != 0 && e.proto == src.proto {
		return
	}
	if src.family != 0 && e.family != src.family {
		e.metaLoad(unix.NFT_META_NFPROTO)
		e.cmp(unix.NFT_CMP_EQ, []byte{src.family})
		e.family = src.family
	}
	if src.proto != 0 {
		e.metaLoad(unix.NFT_META_L4PROTO)
		e.cmp(unix.NFT_CMP_EQ, []byte{src.proto})
		e.proto = src.proto
	}
	if src.ether && !e.ether {
		e.metaLoad(unix.NFT_META_IIFTYPE)
		e.cmp(unix.NFT_CMP_EQ, binary.NativeEndian.AppendUint16(nil, arphrdEther))
		e.ether = true
	}
}

// learn notes what a match itself tells of the packet.
func (e *ruleEncoder) learn(m *plan.Match) {
	switch {
	case m.IsValue(plan.FieldNFProto, unix.NFPROTO_IPV4), m.IsValue(plan.FieldNFProto, unix.NFPROTO_IPV6):
		e.family = m.From[0]
	case m.Field == plan.FieldL4Proto && m.IsValue(plan.FieldL4Proto, m.From[0]):
		e.proto = m.From[0]
	}
}

func equality(not bool) uint32 {
	if not {
		return unix.NFT_CMP_NEQ
	}
	return unix.NFT_CMP_EQ
}

// prefixLen is the length of the prefix that from..to is, or -1 if it is none.
func prefixLen(from, to plan.Key, width int) int {
	n := 0
	for n < width && from[n] == to[n] {
		n++
	}
	if n == width {
		return width * 8
	}
	lead := bits.LeadingZeros8(from[n] ^ to[n])
	rest := byte(0xff) >> lead
	if from[n]&rest != 0 || to[n]&rest != rest {
		return -1
	}
	for i := n + 1; i < width; i++ {
		if from[i] != 0 || to[i] != 0xff {
			return -1
		}
	}
	return n*8 + lead
}

// prefixMask is a netmask of n bits in width bytes.
func prefixMask(n, width int) []byte {
	mask := make([]byte, width)
	for i := range mask {
		mask[i] = ^byte(0xff >> min(8, max(0, n-8*i)))
	}
	return mask
}

// decodeMatch reads the match that xs begins with, of the source src loaded by xs[0], and tells how
// many expressions it takes; 0 when it is none. It may be generous: what
// it returns is encoded again and compared.
func (e *ruleEncoder) decodeMatch(xs []expr, field plan.Field, src *source) (m plan.Match, n int) {
	m.Field = field
	i := 1
	var mask []byte
	for ; i < len(xs) && (xs[i].name == "bitwise" || xs[i].name == "byteorder"); i++ {
		if v := xs[i].value(unix.NFTA_BITWISE_MASK); v != nil && mask == nil {
			mask = v
		}
	}
	if i == len(xs) {
		return m, 0
	}
	swapped := hostEndian(field.Type()) && xs[i-1].name == "byteorder"
	if hostEndian(field.Type()) && len(mask) == 4 {
		m.Mask = binary.NativeEndian.Uint32(mask)
	}
	x := &xs[i]
	switch x.name {
	case "lookup":
		m.Set = e.planSet(attr(x.data, unix.NFTA_LOOKUP_SET))
		m.Not = x.u32(unix.NFTA_LOOKUP_FLAGS)&unix.NFT_LOOKUP_F_INV != 0
	case "range":
		m.Not = true
		m.From = src.key2plan(x.value(unix.NFTA_RANGE_FROM_DATA), swapped)
		m.To = src.key2plan(x.value(unix.NFTA_RANGE_TO_DATA), swapped)
	case "cmp":
		v := x.value(unix.NFTA_CMP_DATA)
		switch x.u32(unix.NFTA_CMP_OP) {
		case unix.NFT_CMP_GTE:
			if i+1 == len(xs) || xs[i+1].name != "cmp" {
				return m, 0
			}
			i++
			m.From, m.To = src.key2plan(v, swapped), src.key2plan(xs[i].value(unix.NFTA_CMP_DATA), swapped)
		case unix.NFT_CMP_EQ, unix.NFT_CMP_NEQ:
			m.Not = x.u32(unix.NFTA_CMP_OP) == unix.NFT_CMP_NEQ
			m.From = src.key2plan(v, swapped)
			m.To = m.From
			src.widen(&m, v, mask)
		default:
			return m, 0
		}
	default:
		return m, 0
	}
	return m, i + 1
}

// widen makes of a comparison with part of the field the interval of values that pass it.
func (s *source) widen(m *plan.Match, v, mask []byte) {
	width := m.Field.Type().Width()
	switch {
	case m.Field.Type() == plan.TypeIfname:
		m.Wildcard = len(v) < width
	case s.prefixes && len(v) < width:
		copy(m.To[len(v):width], bytes.Repeat([]byte{0xff}, width-len(v)))
	case s.prefixes && len(mask) == width:
		for i := range mask {
			m.To[i] |= ^mask[i]
		}
	}
}
