package nft

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// client loads the key of a map that packets fill: an address, or its first bits.
func (e *ruleEncoder) client(set string, field plan.Field, prefix uint8) error {
	if e.sets[set] == nil {
		return fmt.Errorf("map %q is not in the table", set)
	}
	src, err := e.tested(field)
	if err != nil {
		return err
	}
	width := field.Type().Width()
	e.loadInto(reg1, src)
	if prefix > 0 && int(prefix) < 8*width {
		e.bitwise(prefixMask(int(prefix), width), make([]byte, width))
	}
	return nil
}

// recall writes the look-up of a client's mark.
func (e *ruleEncoder) recall(a plan.RecallCTMark) error {
	if err := e.client(a.Set, a.Field, a.Prefix); err != nil {
		return err
	}
	e.mapValue(a.Set)
	e.ctSet(unix.NFT_CT_MARK)
	return nil
}

// mapValue replaces the register by what a map has for it.
func (e *ruleEncoder) mapValue(set string) {
	at := e.begin("lookup")
	e.str(unix.NFTA_LOOKUP_SET, e.kernelSet(set))
	e.u32(unix.NFTA_LOOKUP_SREG, reg1)
	e.u32(unix.NFTA_LOOKUP_DREG, reg1)
	e.u32(unix.NFTA_LOOKUP_FLAGS, 0)
	e.end(at)
}

// dynset writes a change of a client's element, whose value is the packet's mark.
func (e *ruleEncoder) dynset(op uint32, a plan.Remember) error {
	if err := e.client(a.Set, a.Field, a.Prefix); err != nil {
		return err
	}
	e.metaLoadInto(reg2, unix.NFT_META_MARK)
	if a.Mask != 0xffffffff {
		e.bitwiseOn(reg2, binary.NativeEndian.AppendUint32(nil, a.Mask), make([]byte, 4))
	}
	at := e.begin("dynset")
	e.u32(unix.NFTA_DYNSET_SREG_KEY, reg1)
	e.u32(unix.NFTA_DYNSET_SREG_DATA, reg2)
	e.u32(unix.NFTA_DYNSET_OP, op)
	e.str(unix.NFTA_DYNSET_SET_NAME, e.kernelSet(a.Set))
	e.u64(unix.NFTA_DYNSET_TIMEOUT, uint64(a.Timeout)*uint64(time.Second/time.Millisecond))
	e.u32(unix.NFTA_DYNSET_FLAGS, 0)
	e.end(at)
	return nil
}

// decodeClient reads an action on a map that packets fill.
func (e *ruleEncoder) decodeClient(xs []expr) (_ plan.Action, n int) {
	a := plan.Remember{Mask: 0xffffffff}
	f, _, ok := fieldOf(&xs[0], 0)
	if !ok {
		return nil, 0
	}
	a.Field, n = f, 1
	if n < len(xs) && xs[n].name == "bitwise" {
		a.Prefix = leadingBits(xs[n].value(unix.NFTA_BITWISE_MASK))
		n++
	}
	if n+1 >= len(xs) {
		return nil, 0
	}
	if xs[n].name == "lookup" && xs[n].u32(unix.NFTA_LOOKUP_DREG) == reg1 && xs[n+1].name == "ct" {
		return plan.RecallCTMark{Field: a.Field, Prefix: a.Prefix, Set: e.planSet(attr(xs[n].data, unix.NFTA_LOOKUP_SET))}, n + 2
	}
	n++ // the packet's mark
	if xs[n].name == "bitwise" {
		if v := xs[n].value(unix.NFTA_BITWISE_MASK); len(v) == 4 {
			a.Mask = binary.NativeEndian.Uint32(v)
		}
		n++
	}
	if n == len(xs) || xs[n].name != "dynset" {
		return nil, 0
	}
	a.Set = e.planSet(attr(xs[n].data, unix.NFTA_DYNSET_SET_NAME))
	if xs[n].u32(unix.NFTA_DYNSET_OP) == dynsetDelete {
		return plan.Forget{Field: a.Field, Prefix: a.Prefix, Mask: a.Mask, Set: a.Set}, n + 1
	}
	a.Timeout = uint32(number64(attr(xs[n].data, unix.NFTA_DYNSET_TIMEOUT)) / uint64(time.Second/time.Millisecond))
	return a, n + 1
}

// leadingBits counts the bits of a netmask.
func leadingBits(mask []byte) (n uint8) {
	for _, b := range mask {
		for ; b&0x80 != 0; b <<= 1 {
			n++
		}
	}
	return n
}
