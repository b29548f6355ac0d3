package nft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/sorting"
)

// outgoing are the interfaces that packets of a rule leave through: any, or some.
type outgoing struct {
	some  bool
	names []string
}

// only has the rule be for one of some interfaces. A rule with several conditions is for those of
// the last one.
func (o *outgoing) only(names ...string) { o.some, o.names = true, names }

// anyInterface is the name of all interfaces.
const anyInterface = ""

// interfaces are the interfaces that a rule is for: its own, or those of the rules that jump to its
// chain.
func (r *otherRule) interfaces() []string {
	if r.walk.out.some {
		return r.walk.out.names
	}
	return r.chain.interfaces(map[*otherChain]bool{})
}

// interfaces are those that packets which get to the chain leave through.
func (ch *otherChain) interfaces(seen map[*otherChain]bool) (out []string) {
	if ch.hook != nil || len(ch.from) == 0 {
		return []string{anyInterface}
	}
	if seen[ch] {
		return nil
	}
	seen[ch] = true
	for _, jump := range ch.from {
		names := jump.out.names
		if !jump.out.some {
			names = jump.chain.interfaces(seen)
		}
		for _, name := range names {
			if name == anyInterface {
				return []string{anyInterface}
			}
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// ifaceElement is an element of a set of interfaces, or of a map from them to chains.
type ifaceElement struct{ name, chain string }

// lookUpInterface is a look-up of the outgoing interface in a set or a map.
func (w *marksWalk) lookUpInterface(x *expr) {
	from := w.registers[slot(x.u32(unix.NFTA_LOOKUP_SREG))].origin
	if from != fromOIF && from != fromOIFIndex || w.elements == nil || x.u32(unix.NFTA_LOOKUP_FLAGS)&unix.NFT_LOOKUP_F_INV != 0 {
		return
	}
	dreg := attr(x.data, unix.NFTA_LOOKUP_DREG)
	if dreg != nil && number(dreg) != unix.NFT_REG_VERDICT {
		return
	}
	list, known := w.elements(text(attr(x.data, unix.NFTA_LOOKUP_SET)), from == fromOIFIndex)
	if !known {
		return
	}
	var names []string
	for _, e := range list {
		names = append(names, e.name)
		if e.chain != "" {
			w.jumps = append(w.jumps, e)
		}
	}
	w.out.only(names...)
}

// ifaceKey is a key of such a set as the kernel has it.
type ifaceKey struct {
	key   []byte
	end   bool
	chain string
}

// interfaces reads a set whose keys begin with an interface: its name, or its index. It is not
// known if it has ranges that are not those of a name or of a beginning of names.
func (o *others) interfaces(s *socket, family uint8, table, set string, indexes bool) (list []ifaceElement, known bool, err error) {
	var w writer
	w.str(unix.NFTA_SET_ELEM_LIST_TABLE, table)
	w.str(unix.NFTA_SET_ELEM_LIST_SET, set)
	var keys []ifaceKey
	ranges := false
	err = s.dump(unix.NFT_MSG_GETSETELEM, family, w.b, func(raw []byte) error {
		for _, elem := range attrs(attr(raw, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			k := ifaceKey{key: slices.Clone(attr(attr(elem, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE)),
				chain: text(attr(attr(attr(elem, unix.NFTA_SET_ELEM_DATA), unix.NFTA_DATA_VERDICT), unix.NFTA_VERDICT_CHAIN))}
			if flags := attr(elem, unix.NFTA_SET_ELEM_FLAGS); flags != nil {
				k.end = number(flags)&unix.NFT_SET_ELEM_INTERVAL_END != 0
			}
			ranges, keys = ranges || k.end, append(keys, k)
		}
		return nil
	})
	switch {
	case errors.Is(err, unix.ENOENT): // it is gone meanwhile, which the generation says
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case ranges:
		list, known = ifaceRanges(keys)
		return list, known && !indexes, nil
	}
	for _, k := range keys {
		name := ""
		switch {
		case indexes && len(k.key) >= 4:
			name = o.name(binary.NativeEndian.Uint32(k.key))
		case !indexes && len(k.key) >= unix.IFNAMSIZ:
			name = unix.ByteSliceToString(k.key[:unix.IFNAMSIZ])
		}
		if name == "" {
			return nil, false, nil
		}
		list = append(list, ifaceElement{name, k.chain})
	}
	return list, true, nil
}

// ifaceRanges reads the keys of a set with ranges of names: a name is a range of its own, and
// "wan*" one from "wan" to "wao".
func ifaceRanges(keys []ifaceKey) (list []ifaceElement, known bool) {
	sorting.Func(keys, func(a, b ifaceKey) int {
		if order := bytes.Compare(a.key, b.key); order != 0 || a.end == b.end {
			return order
		}
		if a.end {
			return -1
		}
		return 1
	})
	if len(keys) > 0 && keys[0].end { // what is below the first one is not in the set
		keys = keys[1:]
	}
	for ; len(keys) > 1; keys = keys[2:] {
		from, to := keys[0], keys[1]
		if from.end || !to.end || len(from.key) != unix.IFNAMSIZ || len(to.key) != unix.IFNAMSIZ {
			return nil, false
		}
		at := 0
		for at < unix.IFNAMSIZ-1 && from.key[at] == to.key[at] {
			at++
		}
		zero := make([]byte, unix.IFNAMSIZ)
		switch {
		case to.key[at] != from.key[at]+1 || !bytes.Equal(from.key[at+1:], zero[at+1:]) || !bytes.Equal(to.key[at+1:], zero[at+1:]):
			return nil, false
		case at == unix.IFNAMSIZ-1:
			list = append(list, ifaceElement{unix.ByteSliceToString(from.key), from.chain})
		default:
			list = append(list, ifaceElement{string(from.key[:at+1]) + "*", from.chain})
		}
	}
	return list, len(keys) == 0
}
