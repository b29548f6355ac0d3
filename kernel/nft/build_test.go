//go:build linux

package nft

import (
	"net/netip"

	"pbr/compiler/plan"
)

func str(s string) plan.Key { return plan.KeyFromString(s) }

func u8(v uint8) plan.Key { return plan.KeyFromUint8(v) }

func u16(v uint16) plan.Key { return plan.KeyFromUint16(v) }

func u32(v uint32) plan.Key { return plan.KeyFromUint32(v) }

func addr(s string) plan.Key { return plan.KeyFromAddr(netip.MustParseAddr(s)) }

func mac(b ...byte) plan.Key { return plan.KeyFromMAC([6]byte(b)) }

func el(k plan.Key) plan.Element { return plan.Element{From: k, To: k} }

func span(from, to plan.Key) plan.Element { return plan.Element{From: from, To: to} }

// wildcard is the interval of the names that begin with s.
func wildcard(s string) plan.Element {
	e := span(str(s), plan.MaxKey(plan.TypeIfname))
	copy(e.To[:], s)
	return e
}

func going(e plan.Element, chain string) plan.Element {
	e.Goto = chain
	return e
}

// is matches one value.
func is(f plan.Field, k plan.Key) plan.Match { return plan.Match{Field: f, From: k, To: k} }

func within(f plan.Field, from, to plan.Key) plan.Match {
	return plan.Match{Field: f, From: from, To: to}
}

func in(f plan.Field, set string) plan.Match { return plan.Match{Field: f, Set: set} }

func not(m plan.Match) plan.Match {
	m.Not = true
	return m
}

// masked matches a value under a mask.
func masked(f plan.Field, mask, v uint32) plan.Match {
	return plan.Match{Field: f, Mask: mask, From: u32(v), To: u32(v)}
}

const testMask = 0xff000000

// accepted has one match and accepts.
func accepted(ms ...plan.Match) plan.ChainRule {
	return plan.ChainRule{Matches: ms, Actions: []plan.Action{plan.Accept{}}}
}

func doing(as ...plan.Action) plan.ChainRule { return plan.ChainRule{Actions: as} }

// inFamily tests a packet's family first, as nft does by itself.
func inFamily(nfproto uint8, as ...plan.Action) plan.ChainRule {
	return plan.ChainRule{Matches: []plan.Match{is(plan.FieldNFProto, u8(nfproto))}, Actions: as}
}

func hashOf(fields ...plan.Field) (h plan.FieldList) {
	copy(h[:], fields)
	return h
}

func tuple(types []plan.Type, chain string, spans ...plan.Span) plan.Tuple {
	return plan.PackTuple(types, spans, chain)
}

func one(k plan.Key) plan.Span { return plan.Span{From: k, To: k} }

func between(from, to string) plan.Span { return plan.Span{From: addr(from), To: addr(to)} }

// several looks fields up in a map at once.
func several(set string, fields ...plan.Field) plan.Action {
	return plan.ConcatVMap{Set: set, Fields: hashOf(fields...)}
}

func jumping(e plan.Element, chain string) plan.Element {
	e.Goto, e.Jump = chain, true
	return e
}

func counting(e plan.Element, counter string) plan.Element {
	e.Counter = counter
	return e
}

func countingTuple(e plan.Tuple, counter string) plan.Tuple {
	e.Counter = counter
	return e
}
