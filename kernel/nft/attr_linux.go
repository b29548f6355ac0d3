package nft

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// attrHeader is the size of struct nlattr: length and type, u16 each, host-endian.
const attrHeader = 4

// attrTypeMask omits the flags of an attribute's type (NLA_TYPE_MASK, linux/netlink.h).
const attrTypeMask = 0x3fff

// writer builds netlink attributes. Numbers are big-endian, as nftables has them.
type writer struct{ b []byte }

// open starts an attribute whose content follows; shut ends it.
func (w *writer) open(typ uint16) int {
	at := len(w.b)
	w.b = binary.NativeEndian.AppendUint16(w.b, 0)
	w.b = binary.NativeEndian.AppendUint16(w.b, typ)
	return at
}

// shut ends the attribute that open started at at. Callers keep nests below 64 KiB.
func (w *writer) shut(at int) {
	binary.NativeEndian.PutUint16(w.b[at:], uint16(len(w.b)-at))
	for len(w.b)%attrHeader != 0 {
		w.b = append(w.b, 0)
	}
}

func (w *writer) u16(typ, v uint16) { w.bytes(typ, binary.BigEndian.AppendUint16(nil, v)) }

func (w *writer) u32(typ uint16, v uint32) {
	w.b = binary.NativeEndian.AppendUint16(w.b, attrHeader+4)
	w.b = binary.NativeEndian.AppendUint16(w.b, typ)
	w.b = binary.BigEndian.AppendUint32(w.b, v)
}

func (w *writer) u64(typ uint16, v uint64) {
	w.b = binary.NativeEndian.AppendUint16(w.b, attrHeader+8)
	w.b = binary.NativeEndian.AppendUint16(w.b, typ)
	w.b = binary.BigEndian.AppendUint64(w.b, v)
}

func (w *writer) bytes(typ uint16, v []byte) {
	at := w.open(typ)
	w.b = append(w.b, v...)
	w.shut(at)
}

// str writes a string and the NUL that the kernel wants and gives.
func (w *writer) str(typ uint16, s string) {
	at := w.open(typ)
	w.b = append(append(w.b, s...), 0)
	w.shut(at)
}

// attrs walks a list of attributes, flags of the type omitted; malformed rests end the walk.
func attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= attrHeader {
			n := int(binary.NativeEndian.Uint16(b))
			if n < attrHeader || n > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&attrTypeMask, b[attrHeader:n]) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}

// attr returns the first attribute of the type, nil if there is none.
func attr(b []byte, typ uint16) []byte {
	for t, v := range attrs(b) {
		if t == typ {
			return v
		}
	}
	return nil
}

// text is a string attribute without its NUL.
func text(v []byte) string { return unix.ByteSliceToString(v) }

// number is a big-endian number of 4 bytes, 0 if v is none.
func number(v []byte) uint32 {
	if len(v) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(v)
}

// number16 is a big-endian number of 2 bytes, 0 if v is none.
func number16(v []byte) uint16 {
	if len(v) != 2 {
		return 0
	}
	return binary.BigEndian.Uint16(v)
}

// number64 is a big-endian number of 8 bytes, 0 if v is none.
func number64(v []byte) uint64 {
	if len(v) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(v)
}
