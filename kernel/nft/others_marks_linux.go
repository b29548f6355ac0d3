package nft

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"pbr/compiler/lazy"
	"pbr/kernel/facts"
)

// origin says where a register's value comes from.
type origin uint8

const (
	fromElsewhere origin = iota
	fromConstant
	fromPacketMark
	fromConnectionMark
	fromOIF
	fromOIFIndex
	fromIIF
	fromFamily
	fromOriginalPort // the port that the connection was opened to
	fromReverse      // the interface that leads back to the source, if it is the one that the packet came by
)

// register is a value as (origin & and) ^ xor.
type register struct {
	origin   origin
	and, xor uint32
}

// marksWalk follows the registers of one rule.
type marksWalk struct {
	registers map[uint32]register
	uses      []facts.MarkUse
	sourceNAT bool
	// toAddress tells a source NAT to an address from masquerade.
	toAddress bool
	untracked bool
	// flowtable is the one that the rule puts connections into; sparesDNS means that those to port
	// 53 do not get that far.
	flowtable string
	sparesDNS bool
	// out are the interfaces that it is for; jumps are those that its map leads to a chain.
	out   outgoing
	jumps []ifaceElement
	// name is the name of the interface with an index, elements those of a set of interfaces.
	name     func(index uint32) string
	elements func(set string, indexes bool) (list []ifaceElement, known bool)
	back     backWalk
}

// The expressions of iptables-nft (linux/netfilter/nf_tables_compat.h).
const (
	compatName     = 1
	compatRevision = 2
	compatInfo     = 3
)

// Operations of bitwise beside bitwiseBool (linux/netfilter/nf_tables.h); kernel 6.13 and later.
const (
	bitwiseAnd = 3
	bitwiseOr  = 4
	bitwiseXor = 5
	bitwiseReg = 8 // NFTA_BITWISE_SREG2
)

// slot gives both names of a register, NFT_REG_1 and NFT_REG32_00, the same number.
func slot(reg uint32) uint32 {
	if reg >= unix.NFT_REG32_00 {
		return reg - unix.NFT_REG32_00
	}
	return (reg - unix.NFT_REG_1) * 4
}

func (w *marksWalk) set(reg uint32, r register) {
	if w.registers == nil {
		w.registers = map[uint32]register{}
	}
	w.registers[slot(reg)] = r
}

// step is one expression.
func (w *marksWalk) step(x *expr) {
	switch x.name {
	case "meta":
		w.mark(x, unix.NFTA_META_KEY, unix.NFTA_META_DREG, unix.NFTA_META_SREG)
	case "ct":
		w.mark(x, unix.NFTA_CT_KEY, unix.NFTA_CT_DREG, unix.NFTA_CT_SREG)
	case "immediate":
		if v := x.value(unix.NFTA_IMMEDIATE_DATA); len(v) == 4 {
			w.set(x.u32(unix.NFTA_IMMEDIATE_DREG), register{fromConstant, 0, binary.NativeEndian.Uint32(v)})
		}
		w.back.verdict(x)
	case "fib":
		w.set(x.u32(unix.NFTA_FIB_DREG), register{origin: looksBack(x)})
	case "bitwise":
		w.bitwise(x)
	case "cmp":
		w.compare(x)
	case "range":
		w.test(w.registers[slot(x.u32(unix.NFTA_RANGE_SREG))])
	case "lookup":
		w.back.limit(w.registers[slot(x.u32(unix.NFTA_LOOKUP_SREG))].origin)
		w.test(w.registers[slot(x.u32(unix.NFTA_LOOKUP_SREG))])
		w.lookUpInterface(x)
		if attr(x.data, unix.NFTA_LOOKUP_DREG) != nil {
			w.set(x.u32(unix.NFTA_LOOKUP_DREG), register{})
		}
	case "masq":
		w.sourceNAT = true
	case "nat":
		if x.u32(unix.NFTA_NAT_TYPE) == unix.NFT_NAT_SNAT {
			w.sourceNAT, w.toAddress = true, true
		}
	case "notrack":
		w.untracked = true
	case "flow_offload":
		w.flowtable = text(attr(x.data, flowTableName))
	case "target":
		w.target(text(attr(x.data, compatName)), x.u32(compatRevision), attr(x.data, compatInfo))
	case "match":
		w.match(text(attr(x.data, compatName)), attr(x.data, compatInfo))
	default:
		w.overwrite(x)
	}
}

// destinations are the attributes with the register that an expression writes a value to that is
// neither a mark's nor an interface's (linux/netfilter/nf_tables.h); byteorder keeps what it has.
var destinations = lazy.Value[map[string]uint16]{Make: func() map[string]uint16 {
	return map[string]uint16{
		"payload": unix.NFTA_PAYLOAD_DREG, "exthdr": unix.NFTA_EXTHDR_DREG, "rt": unix.NFTA_RT_DREG, "numgen": unix.NFTA_NG_DREG,
		"hash": unix.NFTA_HASH_DREG, "socket": 2, "tunnel": 2, "osf": 1, "xfrm": 1,
	}
}}

// overwrite forgets what a register had that an expression writes to: nft uses the same one for
// each comparison.
func (w *marksWalk) overwrite(x *expr) {
	if dreg, writes := destinations.Get()[x.name]; writes && attr(x.data, dreg) != nil {
		w.set(x.u32(dreg), register{})
	}
}

// mark is a meta or ct expression: it loads a mark, the outgoing interface or something else, or
// changes a mark.
func (w *marksWalk) mark(x *expr, key, dreg, sreg uint16) {
	from := fromElsewhere
	switch k := x.u32(key); {
	case x.name == "ct" && k == unix.NFT_CT_MARK:
		from = fromConnectionMark
	case x.name == "ct" && k == unix.NFT_CT_PROTO_DST && bytes.Equal(attr(x.data, unix.NFTA_CT_DIRECTION), []byte{ctOriginal}):
		from = fromOriginalPort
	case x.name == "meta" && k == unix.NFT_META_MARK:
		from = fromPacketMark
	case x.name == "meta" && k == unix.NFT_META_OIFNAME:
		from = fromOIF
	case x.name == "meta" && k == unix.NFT_META_OIF:
		from = fromOIFIndex
	case x.name == "meta" && (k == unix.NFT_META_IIFNAME || k == unix.NFT_META_IIF):
		from = fromIIF
	case x.name == "meta" && k == unix.NFT_META_NFPROTO:
		from = fromFamily
	}
	if attr(x.data, dreg) != nil {
		w.set(x.u32(dreg), register{from, ^uint32(0), 0})
		return
	}
	if from != fromConnectionMark && from != fromPacketMark {
		return
	}
	r := w.registers[slot(x.u32(sreg))]
	u := facts.MarkUse{Connection: from == fromConnectionMark, Writes: true, Bits: ^uint32(0)}
	switch r.origin {
	case from:
		u.Bits = ^r.and | r.xor
		u.Constant, u.Value = r.and&r.xor == 0, r.xor
	case fromConstant:
		u.Constant, u.Value = true, r.xor
	}
	w.uses = append(w.uses, u)
}

// bitwise is register & mask ^ xor; of newer operations those with a constant.
func (w *marksWalk) bitwise(x *expr) {
	r := w.registers[slot(x.u32(unix.NFTA_BITWISE_SREG))]
	word := func(v []byte) uint32 {
		if len(v) != 4 {
			r.origin = fromElsewhere
			return 0
		}
		return binary.NativeEndian.Uint32(v)
	}
	switch op := x.u32(bitwiseOp); {
	case attr(x.data, bitwiseReg) != nil:
		r = register{}
	case op == bitwiseBool:
		and, xor := word(x.value(unix.NFTA_BITWISE_MASK)), word(x.value(unix.NFTA_BITWISE_XOR))
		r.and, r.xor = r.and&and, r.xor&and^xor
	case op == bitwiseAnd:
		v := word(x.value(bitwiseData))
		r.and, r.xor = r.and&v, r.xor&v
	case op == bitwiseOr:
		v := word(x.value(bitwiseData))
		r.and, r.xor = r.and&^v, r.xor|v
	case op == bitwiseXor:
		r.xor ^= word(x.value(bitwiseData))
	default:
		r = register{}
	}
	w.set(x.u32(unix.NFTA_BITWISE_DREG), r)
}

// compare notes what a rule is for (its outgoing interface), or that it compares a mark.
func (w *marksWalk) compare(x *expr) {
	r := w.registers[slot(x.u32(unix.NFTA_CMP_SREG))]
	w.back.compare(r.origin, x)
	if r.origin == fromOriginalPort && x.u32(unix.NFTA_CMP_OP) == unix.NFT_CMP_NEQ {
		w.sparesDNS = w.sparesDNS || bytes.Equal(x.value(unix.NFTA_CMP_DATA), []byte{0, 53})
	}
	value, equal := x.value(unix.NFTA_CMP_DATA), x.u32(unix.NFTA_CMP_OP) == unix.NFT_CMP_EQ
	switch {
	case r.origin == fromOIF && equal:
		w.out.only(interfaceName(value))
	case r.origin == fromOIFIndex && equal && len(value) == 4:
		w.out.only(w.name(binary.NativeEndian.Uint32(value)))
	default:
		w.test(r)
	}
}

// interfaceName is a name that a rule compares, with a * at its end if it is only how names begin.
func interfaceName(value []byte) string {
	if end := bytes.IndexByte(value, 0); end >= 0 {
		return string(value[:end])
	}
	return string(value) + "*"
}

func (w *marksWalk) test(r register) {
	if r.origin == fromPacketMark || r.origin == fromConnectionMark {
		w.uses = append(w.uses, facts.MarkUse{Connection: r.origin == fromConnectionMark, Bits: r.and})
	}
}

// target is a target of iptables-nft. MARK has struct xt_mark_tginfo2 { mark, mask }
// (linux/netfilter/xt_mark.h).
func (w *marksWalk) target(name string, revision uint32, info []byte) {
	switch name {
	case "MARK":
		if v := words(info, 2); v != nil {
			w.change(false, v[1]|v[0], v[1]&v[0] == v[0], v[0])
		}
	case "CONNMARK":
		w.connmark(revision, info)
	case "CT": // struct xt_ct_target_info begins with flags, the lowest XT_CT_NOTRACK (linux/netfilter/xt_CT.h)
		w.untracked = len(info) >= 2 && binary.NativeEndian.Uint16(info)&1 != 0
	case "NOTRACK":
		w.untracked = true
	case "MASQUERADE":
		w.sourceNAT = true
	case "SNAT", "NETMAP":
		w.sourceNAT, w.toAddress = true, true
	}
}

// connmark is target CONNMARK: struct xt_connmark_tginfo1 { ctmark, ctmask, nfmask, mode }, and
// since revision 2 xt_connmark_tginfo2 { ctmark, ctmask, nfmask, shift_dir, shift_bits, mode }
// (linux/netfilter/xt_connmark.h).
func (w *marksWalk) connmark(revision uint32, info []byte) {
	const set, save, restore = 0, 1, 2
	const bytesAt = 12
	v := words(info, 3)
	if v == nil || len(info) < bytesAt+3 {
		return
	}
	mode := info[bytesAt]
	if revision >= 2 {
		mode = info[bytesAt+2]
		if info[bytesAt+1] != 0 { // shifted: any bit may change
			w.change(mode != restore, ^uint32(0), false, 0)
			return
		}
	}
	switch mode {
	case set:
		w.change(true, v[1]|v[0], v[1]&v[0] == v[0], v[0])
	case save:
		w.change(true, v[1]|v[2], false, 0)
	case restore:
		w.change(false, v[1]|v[2], false, 0)
	}
}

// words are the first n numbers of a struct, nil if it is shorter.
func words(info []byte, n int) (out []uint32) {
	if len(info) < 4*n {
		return nil
	}
	for i := range n {
		out = append(out, binary.NativeEndian.Uint32(info[4*i:]))
	}
	return out
}

func (w *marksWalk) change(connection bool, bits uint32, constant bool, value uint32) {
	w.uses = append(w.uses, facts.MarkUse{Connection: connection, Writes: true, Bits: bits, Constant: constant, Value: value})
}

// match is a match of iptables-nft: xt_mark_mtinfo1 and xt_connmark_mtinfo1 both begin { mark, mask
// }.
func (w *marksWalk) match(name string, info []byte) {
	w.back.match(name, info)
	if (name == "mark" || name == "connmark") && len(info) >= 8 {
		w.uses = append(w.uses, facts.MarkUse{Connection: name == "connmark", Bits: binary.NativeEndian.Uint32(info[4:])})
	}
}
