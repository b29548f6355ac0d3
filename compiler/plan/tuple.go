package plan

import "strings"

// registerWord is what each field of a key of several fields is padded to (NFT_REG32_SIZE,
// linux/netfilter/nf_tables.h).
const registerWord = 4

// MaxTupleWidth is the longest key of several fields in bytes: all of a rule's registers
// (NFT_DATA_VALUE_MAXLEN, linux/netfilter/nf_tables.h). IPv6 source and destination, protocol, two
// ports and an interface name are one too many.
const MaxTupleWidth = 64

// Span is an inclusive interval of the keys of one type; From == To is a single value.
type Span struct{ From, To Key }

// Keys is the order of the keys of a type, see package interval.
type Keys struct{ Type }

// Compare is the keys' own.
func (Keys) Compare(a, b Key) int { return a.Compare(b) }

// Next is the keys' own.
func (o Keys) Next(k Key) (Key, bool) { return k.Next(o.Type) }

// Prev is the keys' own.
func (o Keys) Prev(k Key) (Key, bool) { return k.Prev(o.Type) }

// AllOf is every key of type t. Ports are 0..65535: a range from 1 on costs many times as much in
// the kernel.
func AllOf(t Type) Span { return Span{To: MaxKey(t)} }

// paddedWidth is the room that a key of type t takes among several fields.
func (t Type) paddedWidth() int { return (t.Width() + registerWord - 1) / registerWord * registerWord }

// Words is how many registers of 4 bytes a key of type t takes among several fields.
func (t Type) Words() int { return t.paddedWidth() / registerWord }

// TupleWidth is the length in bytes of a Tuple's From and To with fields of these types.
func TupleWidth(types []Type) (n int) {
	for _, t := range types {
		n += t.paddedWidth()
	}
	return n
}

// PackTuple returns the entry of a set with fields of these types; there is one span for each.
// chain is empty in a set.
func PackTuple(types []Type, spans []Span, chain string) Tuple {
	from, to := make([]byte, 0, MaxTupleWidth), make([]byte, 0, MaxTupleWidth)
	single := true
	for i, t := range types {
		from, to = appendField(from, t, &spans[i].From), appendField(to, t, &spans[i].To)
		single = single && spans[i].From == spans[i].To
	}
	e := Tuple{From: string(from), Goto: chain}
	if e.To = e.From; !single {
		e.To = string(to)
	}
	return e
}

func appendField(b []byte, t Type, k *Key) []byte {
	end := len(b) + t.paddedWidth()
	b = append(b, k[:t.Width()]...)
	for len(b) < end {
		b = append(b, 0)
	}
	return b
}

// Spans are the fields of e, the opposite of PackTuple. What a damaged e lacks is zero.
func (e *Tuple) Spans(types []Type) []Span {
	out := make([]Span, len(types))
	at := 0
	for i, t := range types {
		out[i] = Span{fieldAt(e.From, at, t), fieldAt(e.To, at, t)}
		at += t.paddedWidth()
	}
	return out
}

// FromAt is the first key of field i alone, of what Spans returns.
func (e *Tuple) FromAt(types []Type, i int) Key {
	return fieldAt(e.From, TupleWidth(types[:i]), types[i])
}

func fieldAt(packed string, at int, t Type) (k Key) {
	if at+t.Width() <= len(packed) {
		copy(k[:], packed[at:at+t.Width()])
	}
	return k
}

// CompareTuples orders entries of one set by From, field by field as numbers.
func CompareTuples(a, b Tuple) int { return strings.Compare(a.From, b.From) }

// TypeName is nft's name of the type of s's keys: "ipv4_addr . inet_service" where they have
// several fields.
func (s *Set) TypeName() string {
	if len(s.Concat) == 0 {
		return s.Type.String()
	}
	names := make([]string, len(s.Concat))
	for i, t := range s.Concat {
		names[i] = t.String()
	}
	return strings.Join(names, " . ")
}
