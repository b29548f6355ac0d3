package render

import (
	"fmt"
	"strconv"

	"pbr/compiler/plan"
)

// What an action is in nft's language, in JSON, and whether nft can read it.

// actionName returns nft's words for what an action does.
func actionName(a plan.Action) string {
	switch a.(type) {
	case plan.Accept:
		return "accept"
	case plan.Drop:
		return "drop"
	case plan.Jump:
		return "jump"
	case plan.Goto:
		return "goto"
	case plan.VMap, plan.ConcatVMap:
		return "vmap"
	case plan.HashVMap:
		return "jhash"
	case plan.CycleVMap:
		return "numgen inc"
	case plan.RandomVMap:
		return "numgen random"
	case plan.SetMark:
		return "meta mark set"
	case plan.SetCTMark, plan.RecallCTMark:
		return "ct mark set"
	case plan.Remember:
		return "update"
	case plan.Forget:
		return "delete"
	case plan.Count:
		return "counter name"
	case plan.Log:
		return "log prefix"
	case plan.Limit:
		return "limit rate"
	case plan.Masquerade:
		return "masquerade"
	case plan.SNAT:
		return "snat"
	case plan.Offload:
		return "flow add"
	case plan.Queue, plan.QueueTarget:
		return "queue"
	case plan.LogGroup:
		return "log group"
	}
	return fmt.Sprintf("action(%T)", a)
}

// appendAction adds one statement of a rule.
func appendAction(b []byte, a plan.Action) []byte {
	word := func() []byte { return append(append(b, actionName(a)...), ' ') }
	switch a := a.(type) {
	case plan.Jump:
		return append(word(), a.Chain...)
	case plan.Goto:
		return append(word(), a.Chain...)
	case plan.VMap:
		if a.Mask != 0 {
			return appendVMap(appendMasked(b, a.Field, a.Mask), a.Set)
		}
		return appendVMap(appendPrefixed(b, a.Field, a.Prefix), a.Set)
	case plan.ConcatVMap:
		return appendVMap(appendConcat(b, &a), a.Set)
	case plan.HashVMap:
		b = appendHashed(append(b, actionName(a)...), a.Fields.List())
		b = appendUint(append(b, " mod "...), a.Mod)
		return appendVMap(strconv.AppendUint(append(b, " seed 0x"...), uint64(a.Seed), 16), a.Set)
	case plan.CycleVMap:
		return appendVMap(appendUint(append(word(), "mod "...), a.Mod), a.Set)
	case plan.RandomVMap:
		return appendVMap(appendUint(append(word(), "mod "...), a.Mod), a.Set)
	case plan.SetMark:
		return appendSetMark(b, "meta mark", a.Mask, a.Value)
	case plan.SetCTMark:
		return appendSetMark(b, "ct mark", a.Mask, a.Value)
	case plan.RecallCTMark:
		return append(append(appendPrefixed(word(), a.Field, a.Prefix), " map @"...), a.Set...)
	case plan.Remember:
		b = appendPrefixed(append(append(append(word(), '@'), a.Set...), " { "...), a.Field, a.Prefix)
		return appendMarkValue(append(appendUint(append(b, " timeout "...), a.Timeout), 's'), a.Mask)
	case plan.Forget:
		b = appendPrefixed(append(append(append(word(), '@'), a.Set...), " { "...), a.Field, a.Prefix)
		return appendMarkValue(b, a.Mask)
	case plan.Count:
		return appendQuoted(word(), a.Counter)
	case plan.Log:
		return appendQuoted(word(), a.Prefix)
	case plan.Limit:
		return appendLimit(word(), a)
	case plan.SNAT:
		if a.Addr.Is4() {
			return a.Addr.AppendTo(append(b, "snat ip to "...))
		}
		return a.Addr.AppendTo(append(b, "snat ip6 to "...))
	case plan.Offload:
		return append(append(word(), '@'), a.Flowtable...)
	case plan.Queue:
		return appendUint(append(word(), "flags bypass to "...), a.Number)
	case plan.QueueTarget:
		return appendUint(append(word(), "flags bypass to "...), a.Number)
	case plan.LogGroup:
		return append(appendUint(word(), a.Group), " queue-threshold 1"...)
	}
	return append(b, actionName(a)...)
}

func appendVMap(b []byte, set string) []byte { return append(append(b, " vmap @"...), set...) }

// appendConcat adds the fields of a key. nft 1.0.6 reads a mask among several only between
// parentheses.
func appendConcat(b []byte, a *plan.ConcatVMap) []byte {
	for i, f := range a.Fields.List() {
		if i > 0 {
			b = append(b, " . "...)
		}
		if a.Prefixes[i] == 0 {
			b = append(b, fieldName(f)...)
			continue
		}
		b = append(appendPrefixed(append(b, '('), f, a.Prefixes[i]), ')')
	}
	return b
}

// appendHashed adds " ip saddr . ip daddr".
func appendHashed(b []byte, fields []plan.Field) []byte {
	for i, f := range fields {
		if i > 0 {
			b = append(b, " ."...)
		}
		b = append(append(b, ' '), fieldName(f)...)
	}
	return b
}

// appendSetMark adds "meta mark set meta mark and 0x00ffffff or 0x12000000": the bits outside of
// the mask stay.
func appendSetMark(b []byte, field string, mask, value uint32) []byte {
	b = append(append(b, field...), " set "...)
	value &= mask
	if mask == 0xffffffff {
		return appendMark(b, value)
	}
	b = append(append(b, field...), " and "...)
	b = appendMark(b, ^mask)
	if value != 0 {
		b = appendMark(append(b, " or "...), value)
	}
	return b
}

func appendLimit(b []byte, a plan.Limit) []byte {
	b = append(appendUint(b, a.Rate), '/')
	if a.Minutes {
		b = append(b, "minute"...)
	} else {
		b = append(b, "second"...)
	}
	if a.Burst != 0 {
		b = append(b, " burst "...)
		b = append(appendUint(b, a.Burst), " packets"...)
	}
	return b
}

// appendPrefixed adds an address, or what of it counts: its first bits, 0 for all.
func appendPrefixed(b []byte, f plan.Field, prefix uint8) []byte {
	b = append(b, fieldName(f)...)
	if prefix == 0 || int(prefix) >= 8*f.Type().Width() {
		return b
	}
	return plan.PrefixMask(f.Type(), int(prefix)).Addr(f.Type()).AppendTo(append(b, " and "...))
}

// appendMarkValue adds " : meta mark and 0xff000000 }", the value of a client's element.
func appendMarkValue(b []byte, mask uint32) []byte {
	return append(appendMasked(append(b, " : "...), plan.FieldMark, mask), " }"...)
}

// readable reports whether nft can read a statement.
func readable(a plan.Action) bool {
	switch a := a.(type) {
	case plan.Log:
		return quotable(a.Prefix)
	case plan.Limit:
		return a.Rate > 0
	case plan.VMap:
		return identifier(a.Set) && a.Field.Type() != 0
	case plan.ConcatVMap:
		return identifier(a.Set) && inOrder(a.Fields)
	case plan.HashVMap:
		return identifier(a.Set) && a.Mod > 0 && inOrder(a.Fields)
	case plan.CycleVMap:
		return identifier(a.Set) && a.Mod > 0
	case plan.RandomVMap:
		return identifier(a.Set) && a.Mod > 0
	case plan.RecallCTMark:
		return identifier(a.Set) && isAddress(a.Field)
	case plan.Remember:
		return identifier(a.Set) && isAddress(a.Field) && a.Timeout > 0
	case plan.Forget:
		return identifier(a.Set) && isAddress(a.Field)
	case plan.SNAT:
		return a.Addr.IsValid() && a.Addr.Zone() == ""
	case nil:
		return false
	}
	o := plan.Uses(a)
	return o.Kind == "" || identifier(o.Name)
}

func isAddress(f plan.Field) bool { return f.Type() == plan.TypeIPv4 || f.Type() == plan.TypeIPv6 }

// inOrder reports whether there are fields, and none after a gap.
func inOrder(fields plan.FieldList) bool {
	for i, f := range fields {
		if f != 0 && f.Type() == 0 || f != 0 && i > 0 && fields[i-1] == 0 {
			return false
		}
	}
	return fields[0] != 0
}
