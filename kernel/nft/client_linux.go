package nft

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// client writes an action on a map that packets fill: from an address, or its first bits, to a
// mark.
func (e *ruleEncoder) client(a *plan.Action) error {
	if e.sets[a.Set] == nil {
		return fmt.Errorf("map %q is not in the table", a.Set)
	}
	src, err := e.tested(a.Field)
	if err != nil {
		return err
	}
	width := a.Field.Type().Width()
	e.loadInto(reg1, src)
	if a.Prefix > 0 && int(a.Prefix) < 8*width {
		e.bitwise(prefixMask(int(a.Prefix), width), make([]byte, width))
	}
	if a.Kind == plan.RecallCTMark {
		e.mapValue(a.Set)
		e.ctSet(unix.NFT_CT_MARK)
		return nil
	}
	e.metaLoadInto(reg2, unix.NFT_META_MARK)
	if a.Mask != 0xffffffff {
		e.bitwiseOn(reg2, binary.NativeEndian.AppendUint32(nil, a.Mask), make([]byte, 4))
	}
	e.dynset(a)
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

// dynset changes the element of the key in register 1, whose value is in register 2.
func (e *ruleEncoder) dynset(a *plan.Action) {
	op := uint32(unix.NFT_DYNSET_OP_UPDATE)
	if a.Kind == plan.Forget {
		op = dynsetDelete
	}
	at := e.begin("dynset")
	e.u32(unix.NFTA_DYNSET_SREG_KEY, reg1)
	e.u32(unix.NFTA_DYNSET_SREG_DATA, reg2)
	e.u32(unix.NFTA_DYNSET_OP, op)
	e.str(unix.NFTA_DYNSET_SET_NAME, e.kernelSet(a.Set))
	e.u64(unix.NFTA_DYNSET_TIMEOUT, uint64(a.Timeout)*uint64(time.Second/time.Millisecond))
	e.u32(unix.NFTA_DYNSET_FLAGS, 0)
	e.end(at)
}

// decodeClient reads an action on a map that packets fill.
func decodeClient(xs []expr) (a plan.Action, n int) {
	f, _, ok := fieldOf(&xs[0], 0)
	if !ok {
		return a, 0
	}
	a.Field, n = f, 1
	if n < len(xs) && xs[n].name == "bitwise" {
		a.Prefix = leadingBits(xs[n].value(unix.NFTA_BITWISE_MASK))
		n++
	}
	if n+1 >= len(xs) {
		return a, 0
	}
	if xs[n].name == "lookup" && xs[n].u32(unix.NFTA_LOOKUP_DREG) == reg1 && xs[n+1].name == "ct" {
		a.Kind, a.Set = plan.RecallCTMark, text(attr(xs[n].data, unix.NFTA_LOOKUP_SET))
		return a, n + 2
	}
	a.Mask = 0xffffffff
	n++ // the packet's mark
	if xs[n].name == "bitwise" {
		if v := xs[n].value(unix.NFTA_BITWISE_MASK); len(v) == 4 {
			a.Mask = binary.NativeEndian.Uint32(v)
		}
		n++
	}
	if n == len(xs) || xs[n].name != "dynset" {
		return a, 0
	}
	a.Kind, a.Set = plan.Remember, text(attr(xs[n].data, unix.NFTA_DYNSET_SET_NAME))
	if xs[n].u32(unix.NFTA_DYNSET_OP) == dynsetDelete {
		a.Kind = plan.Forget
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
