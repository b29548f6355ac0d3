package nft

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// setTypes has nft's numbers of the key types (enum datatypes in nftables' include/datatype.h); the kernel
// keeps them for nft and does not look at them.
var setTypes = map[plan.Type]uint32{
	plan.TypeNFProto: 2, plan.TypeIPv4: 7, plan.TypeIPv6: 8, plan.TypeEther: 9, plan.TypeProto: 12, plan.TypePort: 13,
	plan.TypeICMPType: 14, plan.TypeMark: 19, plan.TypeUID: 24, plan.TypeCTState: 26, plan.TypeCTStatus: 28,
	plan.TypeICMPv6Type: 29, plan.TypeDSCP: 36, plan.TypeFibAddrType: 38, plan.TypeIfname: 41, plan.TypeNumber: 4,
}

// setAttrs appends the attributes of a new set.
func setAttrs(w *writer, s *plan.Set) error {
	number, ok := setTypes[s.Type]
	if !ok {
		return fmt.Errorf("no set has keys of %v", s.Type)
	}
	if len(s.Comment) > maxComment {
		return fmt.Errorf("the comment is longer than %d bytes", maxComment)
	}
	w.u32(unix.NFTA_SET_FLAGS, setFlags(s))
	w.u32(unix.NFTA_SET_KEY_TYPE, number)
	w.u32(unix.NFTA_SET_KEY_LEN, uint32(s.Type.Width()))
	switch {
	case s.Data != 0:
		w.u32(unix.NFTA_SET_DATA_TYPE, setTypes[s.Data])
		w.u32(unix.NFTA_SET_DATA_LEN, uint32(s.Data.Width()))
	case s.Map:
		w.u32(unix.NFTA_SET_DATA_TYPE, verdictType)
		w.u32(unix.NFTA_SET_DATA_LEN, verdictLen)
	}
	if s.Size > 0 {
		at := w.open(unix.NFTA_SET_DESC)
		w.u32(unix.NFTA_SET_DESC_SIZE, s.Size)
		w.shut(at)
	}
	// The kernel wants a number that is unique in the transaction, and only there; sets are found by name.
	w.u32(unix.NFTA_SET_ID, 0)
	w.bytes(unix.NFTA_SET_USERDATA, setUserdata(s))
	return nil
}

func setFlags(s *plan.Set) (flags uint32) {
	if s.Interval {
		flags |= setInterval
	}
	if s.Map {
		flags |= setMap
	}
	if s.Dynamic {
		flags |= setDynamic
	}
	return flags
}

// setUserdata is what nft needs to list the set: without the byte order it shows numbers reversed.
func setUserdata(s *plan.Set) []byte {
	b := appendUdata32(nil, udataSetKeyByteOrder, keyByteOrder(s.Type))
	if s.Map {
		b = appendUdata32(b, udataSetDataByteOrder, dataByteOrder(s.Data))
		if s.Type == plan.TypeNumber {
			b = append(b, udataNumbers...)
		}
		b = appendUdata32(b, udataSetDataInterval, 0)
	}
	return appendComment(b, udataSetComment, s.Comment)
}

// udataNumbers is what nft keeps with a map from "typeof numgen inc mod 1024" to verdicts. A type without a name is known
// by an expression that has it; expressions nest in the same form (src/numgen.c and src/expression.c of nftables). The modulus means nothing.
var udataNumbers = func() []byte {
	number := appendUdata32(nil, udataNumgenType, unix.NFT_NG_INCREMENTAL)
	number = appendUdata32(number, udataNumgenMod, 1024)
	number = appendUdata32(number, udataNumgenOffset, 0)
	b := appendUdata(nil, udataSetKeyTypeof, appendUdata(appendUdata32(nil, udataTypeofExpr, exprNumgen), udataTypeofData, number))
	return appendUdata(b, udataSetDataTypeof, appendUdata(appendUdata32(nil, udataTypeofExpr, exprVerdict), udataTypeofData, nil))
}()

func appendUdata(b []byte, typ byte, v []byte) []byte {
	return append(append(b, typ, byte(len(v))), v...)
}

// dataByteOrder is the byte order of a map's values; verdicts have none.
func dataByteOrder(t plan.Type) uint32 {
	if t == 0 {
		return byteOrderNone
	}
	return keyByteOrder(t)
}

func appendUdata32(b []byte, typ byte, v uint32) []byte {
	return binary.NativeEndian.AppendUint32(append(b, typ, 4), v)
}

// keyByteOrder is the byte order of nft's own data type, also where an interval set holds the keys big-endian.
func keyByteOrder(t plan.Type) uint32 {
	switch {
	case hostEndian(t), t == plan.TypeIfname:
		return byteOrderHost
	case t == plan.TypeProto, t == plan.TypeNFProto:
		return byteOrderNone
	}
	return byteOrderBig
}

// decodeSet reads a set's definition; anything that pbr does not make goes to Foreign.
func decodeSet(raw []byte) (s plan.Set, flags uint32) {
	flags = number(attr(raw, unix.NFTA_SET_FLAGS))
	s = plan.Set{Name: text(attr(raw, unix.NFTA_SET_NAME)), Interval: flags&setInterval != 0, Map: flags&setMap != 0}
	var foreign []string
	odd := func(format string, args ...any) { foreign = append(foreign, fmt.Sprintf(format, args...)) }
	keyType := number(attr(raw, unix.NFTA_SET_KEY_TYPE))
	for t, n := range setTypes {
		if n == keyType {
			s.Type = t
		}
	}
	if s.Type == 0 || s.Type.Width() != int(number(attr(raw, unix.NFTA_SET_KEY_LEN))) {
		odd("type %#x", keyType)
	}
	s.Dynamic = flags&setDynamic == setDynamic
	if s.Dynamic {
		flags &^= setDynamic
	}
	if flags&^setKnownFlags != 0 {
		odd("flags %#x", flags&^setKnownFlags)
	}
	dataType := number(attr(raw, unix.NFTA_SET_DATA_TYPE))
	for t, n := range setTypes {
		if s.Map && n == dataType {
			s.Data = t
		}
	}
	if s.Map && (s.Data != 0) != s.Dynamic || s.Map && s.Data == 0 && dataType != verdictType {
		odd("data type %#x", dataType)
	}
	for _, a := range []struct {
		typ  uint16
		name string
	}{
		{unix.NFTA_SET_TIMEOUT, "timeout"}, {unix.NFTA_SET_GC_INTERVAL, "gc-interval"}, {unix.NFTA_SET_POLICY, "policy"},
		{unix.NFTA_SET_OBJ_TYPE, "objects"}, {setExpr, "statement"}, {setExpressions, "statements"},
	} {
		if v := attr(raw, a.typ); v != nil {
			odd("%s %x", a.name, v)
		}
	}
	desc := attr(raw, unix.NFTA_SET_DESC)
	if s.Dynamic {
		s.Size = number(attr(desc, unix.NFTA_SET_DESC_SIZE))
		desc = attr(desc, setDescConcat)
	}
	if len(desc) > 0 && flags&setAnonymous == 0 {
		odd("size or fields %x", desc)
	}
	userdata := attr(raw, unix.NFTA_SET_USERDATA)
	s.Comment = udataText(userdata, udataSetComment)
	if s.Type != 0 && string(setUserdata(&s)) != string(userdata) {
		odd("userdata %x", userdata)
	}
	s.Foreign = joinForeign(foreign)
	return s, flags
}

func joinForeign(words []string) string {
	slices.Sort(words)
	out := ""
	for i, w := range words {
		if i > 0 {
			out += ", "
		}
		out += w
	}
	return out
}
