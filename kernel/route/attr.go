package route

import (
	"encoding/binary"
	"fmt"
)

// nlaTypeMask clears the nested and byte order flags of an attribute's type (linux/netlink.h).
const nlaTypeMask = 0x3fff

// attr is one netlink attribute, without its header.
type attr struct {
	typ  uint16
	data []byte
}

func (a attr) u8() uint8 {
	if len(a.data) < 1 {
		return 0
	}
	return a.data[0]
}

func (a attr) u16(at int) uint16 {
	if len(a.data) < at+2 {
		return 0
	}
	return binary.NativeEndian.Uint16(a.data[at:])
}

func (a attr) u32(at int) uint32 {
	if len(a.data) < at+4 {
		return 0
	}
	return binary.NativeEndian.Uint32(a.data[at:])
}

// text returns a string attribute without its terminating zero.
func (a attr) text() string {
	for i, c := range a.data {
		if c == 0 {
			return string(a.data[:i])
		}
	}
	return string(a.data)
}

// parseAttrs splits b into attributes, which point into b.
func parseAttrs(b []byte) (out []attr, err error) {
	err = eachAttr(b, func(a attr) error {
		out = append(out, a)
		return nil
	})
	return out, err
}

// eachAttr calls do for each attribute in b, up to the first error.
func eachAttr(b []byte, do func(attr) error) error {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return fmt.Errorf("netlink attribute of %d bytes in %d", n, len(b))
		}
		if err := do(attr{binary.NativeEndian.Uint16(b[2:]) & nlaTypeMask, b[4:n]}); err != nil {
			return err
		}
		b = b[min(align4(n), len(b)):]
	}
	return nil
}

// appendAttr appends one attribute, padded to four bytes.
func appendAttr(b []byte, typ uint16, data ...byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(data)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, data...)
	return append(b, make([]byte, align4(len(data))-len(data))...)
}

func appendU32(b []byte, typ uint16, v uint32) []byte {
	return appendAttr(b, typ, binary.NativeEndian.AppendUint32(nil, v)...)
}

func appendText(b []byte, typ uint16, s string) []byte {
	return appendAttr(b, typ, append([]byte(s), 0)...)
}

func align4(n int) int { return (n + 3) &^ 3 }
