package nft

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// verdictMap writes a look-up whose verdict is the rule's.
func (e *ruleEncoder) verdictMap(a plan.VMap) error {
	switch set := e.sets[a.Set]; {
	case set == nil:
		return fmt.Errorf("map %q is not in the table", a.Set)
	case len(set.Concat) > 0:
		return fmt.Errorf("the keys of map %s have %d fields, not one", a.Set, len(set.Concat))
	}
	src, err := e.mapSource(a.Field)
	if err != nil {
		return err
	}
	e.imply(src)
	width := a.Field.Type().Width()
	if a.Prefix == 0 || int(a.Prefix) >= 8*width {
		return e.find(&plan.Match{Field: a.Field, Mask: a.Mask, Set: a.Set}, src, true)
	}
	if !src.prefixes {
		return fmt.Errorf("field %d has no prefixes", a.Field)
	}
	e.loadInto(reg1, src)
	e.bitwise(prefixMask(int(a.Prefix), width), make([]byte, width))
	e.lookup(e.kernelSet(a.Set), false, true)
	return nil
}

// mapSource is the source of a field of a map's key. The rule's matches have to have tested the
// family, and the protocol of a field that needs one: then what is read back from the kernel is the
// same rule, whoever wrote the test.
func (e *ruleEncoder) mapSource(f plan.Field) (*source, error) {
	if f == 0 || int(f) >= len(sources) {
		return nil, fmt.Errorf("field %d is unknown", f)
	}
	src := &sources[f]
	if src.family != 0 && src.family != e.family || src.proto != 0 && src.proto != e.proto {
		return nil, fmt.Errorf("field %d is looked up before the rule has tested the packet's family or protocol", f)
	}
	return src, nil
}

// tupleMap looks several fields up at once, each in registers of its own.
func (e *ruleEncoder) tupleMap(a plan.ConcatVMap) error {
	set := e.sets[a.Set]
	if set == nil {
		return fmt.Errorf("map %q is not in the table", a.Set)
	}
	var fields []*source
	for i, f := range a.Fields.List() {
		src, err := e.mapSource(f)
		if err != nil {
			return err
		}
		if i >= len(set.Concat) || set.Concat[i] != f.Type() || src.mask != nil || src.kind == fromFib {
			return fmt.Errorf("field %d cannot be part %d of a key of map %s", f, i+1, a.Set)
		}
		if a.Prefixes[i] > 0 && !src.prefixes {
			return fmt.Errorf("field %d has no prefixes", f)
		}
		fields = append(fields, src)
	}
	if len(fields) != len(set.Concat) {
		return fmt.Errorf("the keys of map %s have %d fields, not %d", a.Set, len(set.Concat), len(fields))
	}
	for _, src := range fields {
		e.imply(src)
	}
	word := 0
	for i, src := range fields {
		t := set.Concat[i]
		reg := wordRegister(reg1, word)
		e.loadInto(reg, src)
		if n := int(a.Prefixes[i]); n > 0 && n < 8*t.Width() {
			e.bitwiseOn(reg, prefixMask(n, t.Width()), make([]byte, t.Width()))
		}
		if set.Interval && hostEndian(t) {
			e.hton(reg, t.Width())
		}
		word += t.Words()
	}
	e.lookup(e.kernelSet(a.Set), false, true)
	return nil
}

// decodeTupleMap reads a look-up of several fields.
func (e *ruleEncoder) decodeTupleMap(xs []expr) (_ plan.Action, n int) {
	var a plan.ConcatVMap
	for i := range a.Fields {
		if n == len(xs) {
			return nil, 0
		}
		f, _, ok := fieldOf(&xs[n], 0)
		if !ok {
			break
		}
		a.Fields[i] = f
		n++
		if n < len(xs) && xs[n].name == "bitwise" {
			a.Prefixes[i] = leadingBits(xs[n].value(unix.NFTA_BITWISE_MASK))
			n++
		}
		if n < len(xs) && xs[n].name == "byteorder" {
			n++
		}
	}
	if a.Fields[1] == 0 || n == len(xs) || xs[n].name != "lookup" {
		return nil, 0
	}
	a.Set = e.planSet(attr(xs[n].data, unix.NFTA_LOOKUP_SET))
	return a, n + 1
}

// decodeVerdictMap reads the look-up of one field, of which mask is what counts.
func (e *ruleEncoder) decodeVerdictMap(x *expr, field plan.Field, src *source, mask []byte) plan.Action {
	a := plan.VMap{Field: field, Set: e.planSet(attr(x.data, unix.NFTA_LOOKUP_SET))}
	switch {
	case src.prefixes:
		a.Prefix = leadingBits(mask)
	case hostEndian(field.Type()) && len(mask) == 4:
		a.Mask = binary.NativeEndian.Uint32(mask)
	}
	return a
}
