package nft

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/facts"
)

// maxWays bounds the ways to a chain that are looked at.
const maxWays = 64

// maxJumps is how deep jumps may be nested (NFT_JUMP_STACK_SIZE, net/netfilter/nf_tables.h).
const maxJumps = 16

// DestinationNAT reads, from all tables but pbr's, which rules translate destinations. name is the
// name of the interface with an index.
func (c *Conn) DestinationNAT(name func(index uint32) string) (out []facts.DestinationNAT, err error) {
	o, err := c.readOthers(name)
	if err != nil {
		return nil, err
	}
	for i := range o.rules {
		r := &o.rules[i]
		if !slices.ContainsFunc(r.exprs, translatesDestination) {
			continue
		}
		one, when := r.destination()
		for _, way := range r.chain.ways(0) {
			one.Hook, one.When = way.hook, slices.Concat(way.when, when)
			out = append(out, one)
		}
	}
	return out, nil
}

// translatesDestination reports whether an expression is dnat or redirect, of nft or iptables-nft.
func translatesDestination(x expr) bool {
	switch x.name {
	case "nat":
		return x.u32(unix.NFTA_NAT_TYPE) == unix.NFT_NAT_DNAT
	case "redir":
		return true
	case "target":
		name := text(attr(x.data, compatName))
		return name == "DNAT" || name == "REDIRECT"
	}
	return false
}

// wayTo is a way that packets get to a chain.
type wayTo struct {
	hook facts.Hook
	when []facts.Condition
}

// ways are those to the chain; depth is how many jumps were followed.
func (ch *otherChain) ways(depth int) (out []wayTo) {
	if ch.hook != nil {
		return []wayTo{{hook: *ch.hook}}
	}
	if depth > maxJumps {
		return nil
	}
	for _, jump := range ch.from {
		for _, way := range jump.chain.ways(depth + 1) {
			if len(out) == maxWays {
				return out
			}
			out = append(out, wayTo{way.hook, slices.Concat(way.when, jump.when)})
		}
	}
	return out
}

// destination is what the rule translates to, and its own conditions.
func (r *otherRule) destination() (facts.DestinationNAT, []facts.Condition) {
	d := facts.DestinationNAT{Table: r.chain.table, Chain: r.chain.name, Handle: r.handle}
	w := conditionsWalk{walk: &r.walk, family: plan.TableFamily(r.chain.table)}
	for i := range r.exprs {
		x := &r.exprs[i]
		w.step(x)
		switch {
		case !translatesDestination(*x):
		case x.name == "nat":
			d.To, _ = netip.AddrFromSlice(w.constant(x, unix.NFTA_NAT_REG_ADDR_MIN))
			d.Port = portOf(w.constant(x, unix.NFTA_NAT_REG_PROTO_MIN))
			if to := attr(x.data, unix.NFTA_NAT_REG_ADDR_MAX); to != nil &&
				number(to) != x.u32(unix.NFTA_NAT_REG_ADDR_MIN) {
				d.To = netip.Addr{} // one of several
			}
		case x.name == "redir":
			d.Redirect, d.Port = true, portOf(w.constant(x, unix.NFTA_REDIR_REG_PROTO_MIN))
		default:
			d.Redirect = text(attr(x.data, compatName)) == "REDIRECT"
		}
	}
	return d, w.when
}

func portOf(v []byte) uint16 {
	if len(v) != 2 {
		return 0
	}
	return binary.BigEndian.Uint16(v)
}

// part is what a register has of a packet.
type part uint8

const (
	partUnknown part = iota
	partConstant
	partIIF
	partIIFIndex
	partProtocol
	partFamily
	partSrc
	partDst
	partPort
	partKind
)

// loaded is a register: value is a constant, or the mask of an address.
type loaded struct {
	part  part
	value []byte
}

// conditionsWalk gathers the conditions of a rule.
type conditionsWalk struct {
	walk      *marksWalk
	family    plan.Family
	registers map[uint32]loaded
	when      []facts.Condition
	// jumps are those that a map has from arriving interfaces to chains.
	jumps []ifaceElement
}

func (w *conditionsWalk) set(reg uint32, l loaded) {
	if w.registers == nil {
		w.registers = map[uint32]loaded{}
	}
	w.registers[slot(reg)] = l
}

// constant is the constant in the register that an attribute names.
func (w *conditionsWalk) constant(x *expr, attribute uint16) []byte {
	reg := attr(x.data, attribute)
	if reg == nil {
		return nil
	}
	if l := w.registers[slot(number(reg))]; l.part == partConstant {
		return l.value
	}
	return nil
}

// add adds a condition; one without a field is not understood.
func (w *conditionsWalk) add(c facts.Condition) { w.when = append(w.when, c) }

// step is one expression. What is neither a load nor a condition is skipped.
func (w *conditionsWalk) step(x *expr) {
	switch x.name {
	case "meta":
		if attr(x.data, unix.NFTA_META_DREG) != nil {
			w.set(x.u32(unix.NFTA_META_DREG), loaded{part: metaPart(x.u32(unix.NFTA_META_KEY))})
		}
	case "ct":
		if attr(x.data, unix.NFTA_CT_DREG) != nil {
			w.set(x.u32(unix.NFTA_CT_DREG), loaded{})
		}
	case "byteorder":
		w.set(x.u32(unix.NFTA_BYTEORDER_DREG), loaded{})
	case "payload":
		if attr(x.data, unix.NFTA_PAYLOAD_DREG) != nil {
			w.set(x.u32(unix.NFTA_PAYLOAD_DREG), w.payload(x))
		}
	case "fib":
		l := loaded{}
		if x.u32(unix.NFTA_FIB_RESULT) == fibKind && x.u32(unix.NFTA_FIB_FLAGS) == unix.NFTA_FIB_F_DADDR {
			l.part = partKind
		}
		w.set(x.u32(unix.NFTA_FIB_DREG), l)
	case "immediate":
		if v := x.value(unix.NFTA_IMMEDIATE_DATA); v != nil {
			w.set(x.u32(unix.NFTA_IMMEDIATE_DREG), loaded{partConstant, v})
		}
	case "bitwise":
		w.bitwise(x)
	case "cmp":
		w.compare(x)
	case "lookup":
		w.lookUp(x)
	case "match":
		w.match(text(attr(x.data, compatName)), attr(x.data, compatInfo))
	case "range", "limit", "quota", "connlimit":
		w.add(facts.Condition{})
	default:
		if dreg, writes := destinations.Get()[x.name]; writes && attr(x.data, dreg) != nil {
			w.set(x.u32(dreg), loaded{})
		}
	}
}

// fibKind is the kind of an address (NFT_FIB_RESULT_ADDRTYPE, linux/netfilter/nf_tables.h).
const fibKind = 3

func metaPart(key uint32) part {
	switch key {
	case unix.NFT_META_IIFNAME:
		return partIIF
	case unix.NFT_META_IIF:
		return partIIFIndex
	case unix.NFT_META_L4PROTO:
		return partProtocol
	case unix.NFT_META_NFPROTO:
		return partFamily
	}
	return partUnknown
}

// payload is a part of a header. Where the family is not known, its offsets mean nothing.
func (w *conditionsWalk) payload(x *expr) loaded {
	base, offset, width := x.u32(unix.NFTA_PAYLOAD_BASE), x.u32(unix.NFTA_PAYLOAD_OFFSET), x.u32(unix.NFTA_PAYLOAD_LEN)
	is := func(b, o uint32) bool { return base == b && offset == o }
	prefix := slices.Repeat([]byte{0xff}, int(min(width, 16)))
	switch {
	case is(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2) && width == 2:
		return loaded{part: partPort}
	case w.family == plan.IPv4 && is(unix.NFT_PAYLOAD_NETWORK_HEADER, 9) && width == 1,
		w.family == plan.IPv6 && is(unix.NFT_PAYLOAD_NETWORK_HEADER, 6) && width == 1:
		return loaded{part: partProtocol}
	case w.family == plan.IPv4 && is(unix.NFT_PAYLOAD_NETWORK_HEADER, 12) && width <= 4,
		w.family == plan.IPv6 && is(unix.NFT_PAYLOAD_NETWORK_HEADER, 8) && width <= 16:
		return loaded{partSrc, prefix}
	case w.family == plan.IPv4 && is(unix.NFT_PAYLOAD_NETWORK_HEADER, 16) && width <= 4,
		w.family == plan.IPv6 && is(unix.NFT_PAYLOAD_NETWORK_HEADER, 24) && width <= 16:
		return loaded{partDst, prefix}
	}
	return loaded{}
}

// bitwise keeps the mask of an address.
func (w *conditionsWalk) bitwise(x *expr) {
	l := w.registers[slot(x.u32(unix.NFTA_BITWISE_SREG))]
	mask := x.value(unix.NFTA_BITWISE_MASK)
	if l.part != partSrc && l.part != partDst || x.u32(bitwiseOp) != bitwiseBool || len(mask) != len(l.value) {
		l = loaded{}
	}
	l.value = mask
	w.set(x.u32(unix.NFTA_BITWISE_DREG), l)
}

// compare is a condition.
func (w *conditionsWalk) compare(x *expr) {
	l, value := w.registers[slot(x.u32(unix.NFTA_CMP_SREG))], x.value(unix.NFTA_CMP_DATA)
	op := x.u32(unix.NFTA_CMP_OP)
	c := facts.Condition{Not: op == unix.NFT_CMP_NEQ}
	if op != unix.NFT_CMP_EQ && op != unix.NFT_CMP_NEQ {
		w.add(facts.Condition{})
		return
	}
	switch {
	case l.part == partIIF:
		c.In = []string{interfaceName(value)}
	case l.part == partIIFIndex && len(value) == 4:
		c.In = []string{w.walk.name(binary.NativeEndian.Uint32(value))}
	case l.part == partProtocol && len(value) == 1:
		c.Protocols = value
	case l.part == partFamily && len(value) == 1:
		c.Family = map[byte]plan.Family{unix.NFPROTO_IPV4: plan.IPv4, unix.NFPROTO_IPV6: plan.IPv6}[value[0]]
		if !c.Not {
			w.family = c.Family
		}
	case l.part == partPort && len(value) == 2:
		c.Ports = []uint16{binary.BigEndian.Uint16(value)}
	case l.part == partKind && len(value) == 4:
		c.Own = binary.NativeEndian.Uint32(value) == unix.RTN_LOCAL
	case l.part == partSrc:
		c.Src = w.prefix(value, l.value)
	case l.part == partDst:
		c.Dst = w.prefix(value, l.value)
	}
	w.add(c)
}

// prefix is the one whose first bytes are compared under a mask; the zero prefix if it is none.
func (w *conditionsWalk) prefix(value, mask []byte) netip.Prefix {
	ones := 0
	for i, m := range mask {
		if n := bits.LeadingZeros8(^m); m<<n != 0 || ones < 8*i && m != 0 {
			return netip.Prefix{}
		} else {
			ones += n
		}
	}
	address := make([]byte, map[plan.Family]int{plan.IPv4: 4, plan.IPv6: 16}[w.family])
	copy(address, value)
	a, ok := netip.AddrFromSlice(address)
	if !ok || len(value) != len(mask) {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, ones)
}

// lookUp is a condition by a set, or the jumps of a map. Of these, those of interfaces are read.
func (w *conditionsWalk) lookUp(x *expr) {
	l := w.registers[slot(x.u32(unix.NFTA_LOOKUP_SREG))]
	dreg := attr(x.data, unix.NFTA_LOOKUP_DREG)
	var list []ifaceElement
	known := false
	if (l.part == partIIF || l.part == partIIFIndex) && w.walk.elements != nil {
		list, known = w.walk.elements(text(attr(x.data, unix.NFTA_LOOKUP_SET)), l.part == partIIFIndex)
	}
	if dreg != nil {
		w.set(number(dreg), loaded{})
		for _, e := range list {
			if e.chain != "" {
				w.jumps = append(w.jumps, e)
			}
		}
		return
	}
	c := facts.Condition{Not: x.u32(unix.NFTA_LOOKUP_FLAGS)&unix.NFT_LOOKUP_F_INV != 0}
	if known {
		c.In = []string{} // of an empty set none
	}
	for _, e := range list {
		c.In = append(c.In, e.name)
	}
	w.add(c)
}

// match is a match of iptables-nft. struct xt_addrtype_info_v1 begins { source, dest, flags }
// (linux/netfilter/xt_addrtype.h), struct xt_tcp { spts[2], dpts[2], option, flg_mask, flg_cmp,
// invflags }, and xt_udp { spts[2], dpts[2], invflags } (linux/netfilter/xt_tcpudp.h).
func (w *conditionsWalk) match(name string, info []byte) {
	port := func(at int) uint16 { return binary.NativeEndian.Uint16(info[at:]) }
	c := facts.Condition{}
	switch {
	case name == "comment":
		return
	case name == "addrtype" && len(info) >= 8:
		const invert = 2 // XT_ADDRTYPE_INVERT_DEST
		flags := binary.NativeEndian.Uint32(info[4:])
		c.Own, c.Not = port(0) == 0 && port(2) == 1<<unix.RTN_LOCAL && flags&^invert == 0, flags&invert != 0
	case name == "tcp" && len(info) >= 12 && info[9] == 0 && info[11] == 0, name == "udp" && len(info) >= 9 && info[8] == 0:
		if port(0) == 0 && port(2) == 0xffff && port(4) == port(6) {
			c.Ports = []uint16{port(4)}
		}
	}
	w.add(c)
}
