package nft

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/lazy"
	"pbr/compiler/plan"
)

// setTypes has nft's numbers of the key types (enum datatypes in nftables' include/datatype.h); the
// kernel keeps them for nft and does not look at them.
var setTypes = [...]uint32{
	plan.TypeNFProto: 2, plan.TypeIPv4: 7, plan.TypeIPv6: 8, plan.TypeEther: 9, plan.TypeProto: 12, plan.TypePort: 13,
	plan.TypeICMPType: 14, plan.TypeMark: 19, plan.TypeClass: 21, plan.TypeUID: 24, plan.TypeGID: 25,
	plan.TypeCTState: 26, plan.TypeCTDir: 27, plan.TypeCTStatus: 28,
	plan.TypeICMPv6Type: 29, plan.TypeDSCP: 36, plan.TypeFibAddrType: 38, plan.TypeIfname: 41, plan.TypeNumber: 4,
	plan.TypeTime: 43, plan.TypeCgroup: 46,
}

// setNumber is nft's number of a type, 0 if it has none.
func setNumber(t plan.Type) uint32 {
	if int(t) < len(setTypes) {
		return setTypes[t]
	}
	return 0
}

// concatBits is how far nft shifts the type of one field of a key to put the next one's number
// behind it (TYPE_BITS in nftables' include/datatype.h). So there is room for maxFields of them.
const (
	concatBits = 6
	maxFields  = 5
)

// setKey is nft's number of the type of a set's keys, and their length in bytes.
func setKey(s *plan.Set) (typ uint32, length int, err error) {
	if len(s.Concat) == 0 {
		typ := setNumber(s.Type)
		if typ == 0 {
			return 0, 0, fmt.Errorf("no set has keys of %v", s.Type)
		}
		return typ, s.Type.Width(), nil
	}
	length = plan.TupleWidth(s.Concat)
	if len(s.Concat) < 2 || len(s.Concat) > maxFields || length > plan.MaxTupleWidth {
		return 0, 0, fmt.Errorf("no set has keys of %d fields and %d bytes", len(s.Concat), length)
	}
	for _, t := range s.Concat {
		number := setNumber(t)
		if number == 0 {
			return 0, 0, fmt.Errorf("no set has keys of %v", t)
		}
		typ = typ<<concatBits | number
	}
	return typ, length, nil
}

// concatTypes is the opposite of setKey for keys of several fields: nil if it is none of them.
func concatTypes(typ uint32) (types []plan.Type) {
	for ; typ > 0; typ >>= concatBits {
		t := setType(typ & (1<<concatBits - 1))
		if t == 0 {
			return nil
		}
		types = append(types, t)
	}
	if len(types) < 2 {
		return nil
	}
	slices.Reverse(types)
	return types
}

// setType is the type with nft's number, 0 if there is none.
func setType(number uint32) plan.Type {
	for t, n := range setTypes {
		if n == number {
			return plan.Type(t)
		}
	}
	return 0
}

// setAttrs appends the attributes of a new set.
func setAttrs(w *writer, s *plan.Set) error {
	typ, length, err := setKey(s)
	if err != nil {
		return err
	}
	if len(s.Comment) > maxComment {
		return fmt.Errorf("the comment is longer than %d bytes", maxComment)
	}
	w.u32(unix.NFTA_SET_FLAGS, setFlags(s))
	w.u32(unix.NFTA_SET_KEY_TYPE, typ)
	w.u32(unix.NFTA_SET_KEY_LEN, uint32(length))
	switch {
	case s.Data != 0:
		w.u32(unix.NFTA_SET_DATA_TYPE, setNumber(s.Data))
		w.u32(unix.NFTA_SET_DATA_LEN, uint32(s.Data.Width()))
	case s.Map:
		w.u32(unix.NFTA_SET_DATA_TYPE, verdictType)
		w.u32(unix.NFTA_SET_DATA_LEN, verdictLen)
	}
	if s.Counted {
		at := w.open(setExpr)
		w.counter(tally{})
		w.shut(at)
	}
	if desc := setDesc(s); len(desc) > 0 {
		w.bytes(unix.NFTA_SET_DESC, desc)
	}
	// The kernel wants a number that is unique in the transaction, and only there; sets are found
	// by name.
	w.u32(unix.NFTA_SET_ID, 0)
	w.bytes(unix.NFTA_SET_USERDATA, setUserdata(s))
	return nil
}

// setDesc is what a set's description says besides: how many elements it takes, and where in the
// key intervals are.
func setDesc(s *plan.Set) []byte {
	var w writer
	if s.Size > 0 {
		w.u32(unix.NFTA_SET_DESC_SIZE, s.Size)
	}
	if s.Interval && len(s.Concat) > 0 {
		at := w.open(setDescConcat)
		for _, t := range s.Concat {
			field := w.open(unix.NFTA_LIST_ELEM)
			w.u32(setFieldLen, uint32(t.Width()))
			w.shut(field)
		}
		w.shut(at)
	}
	return w.b
}

// describes reports whether a description is what setDesc makes of s.
func describes(desc []byte, s *plan.Set) bool {
	if number(attr(desc, unix.NFTA_SET_DESC_SIZE)) != s.Size {
		return false
	}
	var lengths []uint32
	for _, field := range attrs(attr(desc, setDescConcat)) {
		lengths = append(lengths, number(attr(field, setFieldLen)))
	}
	if !s.Interval {
		return len(lengths) == 0
	}
	return slices.EqualFunc(lengths, s.Concat, func(n uint32, t plan.Type) bool { return int(n) == t.Width() })
}

// hasKey reports whether the type of the keys is one of pbr's.
func hasKey(s *plan.Set) bool { return s.Type != 0 || len(s.Concat) > 0 }

func setFlags(s *plan.Set) (flags uint32) {
	if s.Interval {
		flags |= setInterval
		if len(s.Concat) > 0 {
			flags |= setConcat
		}
	}
	if s.Map {
		flags |= setMap
	}
	if s.Dynamic {
		flags |= setDynamic
	}
	if s.RunTime {
		flags |= setTimeout
	}
	return flags
}

// setUserdata is what nft needs to list the set: without the byte order it shows numbers reversed.
func setUserdata(s *plan.Set) []byte {
	b := appendUdata32(nil, udataSetKeyByteOrder, keyByteOrder(s.Type))
	if s.Map {
		b = appendUdata32(b, udataSetDataByteOrder, dataByteOrder(s.Data))
	}
	if len(s.Concat) > 0 {
		b = append(b, udataConcat.Get()...)
	}
	if s.Map {
		if s.Type == plan.TypeNumber {
			b = append(b, udataNumbers.Get()...)
		}
		b = appendUdata32(b, udataSetDataInterval, 0)
	}
	if s.Type == plan.TypeTime {
		b = append(b, udataTime.Get()...)
	}
	return appendComment(b, udataSetComment, s.Comment)
}

// udataNumbers is what nft keeps with a map from "typeof numgen inc mod 1024" to verdicts. A type
// without a name is known by an expression that has it; expressions nest in the same form
// (src/numgen.c and src/expression.c of nftables). The modulus means nothing.
var udataNumbers = lazy.Value[[]byte]{Make: func() []byte {
	number := appendUdata32(nil, udataNumgenType, unix.NFT_NG_INCREMENTAL)
	number = appendUdata32(number, udataNumgenMod, 1024)
	number = appendUdata32(number, udataNumgenOffset, 0)
	b := appendUdata(nil, udataSetKeyTypeof, appendUdata(appendUdata32(nil, udataTypeofExpr, exprNumgen), udataTypeofData, number))
	return appendUdata(b, udataSetDataTypeof, appendUdata(appendUdata32(nil, udataTypeofExpr, exprVerdict), udataTypeofData, nil))
}}

// udataTime is what nft keeps with a set of "typeof meta time".
var udataTime = lazy.Value[[]byte]{Make: func() []byte {
	return appendUdata(nil, udataSetKeyTypeof, appendUdata(appendUdata32(nil, udataTypeofExpr, exprMeta), udataTypeofData,
		appendUdata32(nil, udataMetaKey, metaTime)))
}}

// udataConcat is what nft keeps with every set whose keys have several fields: that they have.
var udataConcat = lazy.Value[[]byte]{Make: func() []byte {
	return appendUdata(nil, udataSetKeyTypeof, appendUdata(appendUdata32(nil, udataTypeofExpr, exprConcat), udataTypeofData, nil))
}}

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

// keyByteOrder is the byte order of nft's own data type, also where an interval set holds the keys
// big-endian.
func keyByteOrder(t plan.Type) uint32 {
	switch {
	case hostEndian(t), t == plan.TypeIfname:
		return byteOrderHost
	case t == plan.TypeProto, t == plan.TypeNFProto, t == 0:
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
	s.Type, s.Concat = setType(keyType), concatTypes(keyType)
	if _, length, err := setKey(&s); err != nil || length != int(number(attr(raw, unix.NFTA_SET_KEY_LEN))) {
		odd("type %#x", keyType)
		s.Type, s.Concat = 0, nil
	}
	s.Dynamic = flags&setDynamic == setDynamic
	s.RunTime = !s.Dynamic && !s.Map && len(s.Concat) == 0 && flags&setTimeout != 0
	if s.Dynamic {
		flags &^= setDynamic
	}
	if s.RunTime {
		flags &^= setTimeout
	}
	if flags&^setKnownFlags != 0 || flags&setConcat != setFlags(&s)&setConcat {
		odd("flags %#x", flags&^(setInterval|setMap))
	}
	dataType := number(attr(raw, unix.NFTA_SET_DATA_TYPE))
	if s.Map {
		s.Data = setType(dataType)
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
		v := attr(raw, a.typ)
		if a.typ == setExpr && s.Map && !s.Dynamic && isCounter(v) {
			s.Counted = true
		} else if v != nil {
			odd("%s %x", a.name, v)
		}
	}
	desc := attr(raw, unix.NFTA_SET_DESC)
	if s.Dynamic || s.RunTime {
		s.Size = number(attr(desc, unix.NFTA_SET_DESC_SIZE))
	}
	if flags&setAnonymous == 0 && !describes(desc, &s) {
		odd("size or fields %x", desc)
	}
	// The rest of the user data tells nft how to list the set. Versions of nft differ in what they
	// keep there, and the kernel does not look at it.
	s.Comment = udataText(attr(raw, unix.NFTA_SET_USERDATA), udataSetComment)
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
