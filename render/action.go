package render

import (
	"strconv"

	"pbr/compiler/plan"
)

// actionNames are nft's words for the statements; those of one word need nothing else.
var actionNames = [...]string{
	plan.Accept:     "accept",
	plan.Drop:       "drop",
	plan.Jump:       "jump",
	plan.Goto:       "goto",
	plan.VMap:       "vmap",
	plan.SetMark:    "meta mark set",
	plan.SetCTMark:  "ct mark set",
	plan.Count:      "counter name",
	plan.Log:        "log prefix",
	plan.Limit:      "limit rate",
	plan.Masquerade: "masquerade",
	plan.SNAT:       "snat",

	plan.HashVMap:     "jhash",
	plan.CycleVMap:    "numgen inc",
	plan.RandomVMap:   "numgen random",
	plan.RecallCTMark: "ct mark set",
	plan.Remember:     "update",
	plan.Forget:       "delete",
	plan.Offload:      "flow add",
	plan.Queue:        "queue",
	plan.QueueTarget:  "queue",
	plan.LogGroup:     "log group",
}

// actionName is nft's name of k, or for one that does not exist its number.
func actionName(k plan.ActionKind) string {
	if int(k) < len(actionNames) && actionNames[k] != "" {
		return actionNames[k]
	}
	return "action(" + strconv.Itoa(int(k)) + ")"
}

// appendAction adds one statement of a rule.
func appendAction(b []byte, a *plan.Action) []byte {
	name := actionName(a.Kind)
	switch a.Kind {
	case plan.Jump, plan.Goto:
		b = append(append(b, name...), ' ')
		return append(b, a.Chain...)
	case plan.VMap:
		b = appendMapKey(b, a)
		return append(append(b, " vmap @"...), a.Set...)
	case plan.SetMark:
		return appendSetMark(b, "meta mark", a)
	case plan.SetCTMark:
		return appendSetMark(b, "ct mark", a)
	case plan.Count, plan.Log:
		b = append(append(b, name...), ' ')
		return appendQuoted(b, a.Name)
	case plan.Limit:
		return appendLimit(b, a)
	case plan.HashVMap, plan.CycleVMap, plan.RandomVMap:
		return appendChoice(b, a)
	case plan.RecallCTMark:
		b = appendPrefixed(append(append(b, name...), ' '), a.Field, a.Prefix)
		return append(append(b, " map @"...), a.Set...)
	case plan.Remember, plan.Forget:
		return appendClientMap(b, name, a)
	case plan.Offload:
		return append(append(append(b, name...), " @"...), a.Name...)
	case plan.Queue, plan.QueueTarget:
		return appendUint(append(append(b, name...), " flags bypass to "...), a.Value)
	case plan.LogGroup:
		return append(appendUint(append(append(b, name...), ' '), a.Value), " queue-threshold 1"...)
	case plan.SNAT:
		if a.Addr.Is4() {
			b = append(b, "snat ip to "...)
		} else {
			b = append(b, "snat ip6 to "...)
		}
		return a.Addr.AppendTo(b)
	}
	return append(b, name...)
}

// appendMapKey adds what a verdict map is looked up by: one field under a mask, or several. nft
// 1.0.6 reads a mask in the latter only between parentheses.
func appendMapKey(b []byte, a *plan.Action) []byte {
	if a.Fields[0] == 0 {
		if a.Mask != 0 {
			return appendMasked(b, a.Field, a.Mask)
		}
		return appendPrefixed(b, a.Field, a.Prefix)
	}
	for i, f := range a.Fields {
		if f == 0 {
			break
		}
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

// appendSetMark adds "meta mark set meta mark and 0x00ffffff or 0x12000000": the bits outside of
// the mask stay.
func appendSetMark(b []byte, field string, a *plan.Action) []byte {
	b = append(append(b, field...), " set "...)
	value := a.Value & a.Mask
	if a.Mask == 0xffffffff {
		return appendMark(b, value)
	}
	b = append(append(b, field...), " and "...)
	b = appendMark(b, ^a.Mask)
	if value != 0 {
		b = appendMark(append(b, " or "...), value)
	}
	return b
}

func appendLimit(b []byte, a *plan.Action) []byte {
	b = append(b, "limit rate "...)
	b = append(appendUint(b, a.Rate), limitUnit(a)...)
	if a.Burst != 0 {
		b = append(b, " burst "...)
		b = append(appendUint(b, a.Burst), " packets"...)
	}
	return b
}

func limitUnit(a *plan.Action) string {
	if a.Minutes {
		return "/minute"
	}
	return "/second"
}

// appendChoice adds "jhash ip saddr . ip daddr mod 1024 seed 0x1 vmap @slots", or numgen instead of
// the hash.
func appendChoice(b []byte, a *plan.Action) []byte {
	b = append(b, actionName(a.Kind)...)
	for i, f := range a.Fields {
		if f == 0 {
			break
		}
		if i > 0 {
			b = append(b, " ."...)
		}
		b = append(append(b, ' '), fieldName(f)...)
	}
	b = appendUint(append(b, " mod "...), a.Mod)
	if a.Kind == plan.HashVMap {
		b = strconv.AppendUint(append(b, " seed 0x"...), uint64(a.Seed), 16)
	}
	return append(append(b, " vmap @"...), a.Set...)
}

// appendPrefixed adds an address, or what of it counts: its first bits, 0 for all.
func appendPrefixed(b []byte, f plan.Field, prefix uint8) []byte {
	b = append(b, fieldName(f)...)
	if prefix == 0 || int(prefix) >= 8*f.Type().Width() {
		return b
	}
	return plan.PrefixMask(f.Type(), int(prefix)).Addr(f.Type()).AppendTo(append(b, " and "...))
}

// appendClientMap adds "update @clients { ip saddr timeout 3600s : meta mark and 0xff000000 }".
func appendClientMap(b []byte, name string, a *plan.Action) []byte {
	b = append(append(append(b, name...), " @"...), a.Set...)
	b = appendPrefixed(append(b, " { "...), a.Field, a.Prefix)
	if a.Kind == plan.Remember {
		b = append(appendUint(append(b, " timeout "...), a.Timeout), 's')
	}
	b = appendMasked(append(b, " : "...), plan.FieldMark, a.Mask)
	return append(b, " }"...)
}

// appendChainRule adds a rule of a chain, without indentation and line end. A rule that is none of
// pbr's can only be described: a comment.
func appendChainRule(b []byte, r *plan.ChainRule) []byte {
	if r.Foreign != "" {
		return appendLine(append(b, "# foreign: "...), r.Foreign)
	}
	start := len(b)
	for i := range r.Matches {
		b = append(appendMatch(b, &r.Matches[i]), ' ')
	}
	for i := range r.Actions {
		b = append(appendAction(b, &r.Actions[i]), ' ')
	}
	if r.Comment != "" {
		b = append(b, "comment "...)
		return appendQuoted(b, r.Comment)
	}
	if len(b) > start {
		b = b[:len(b)-1]
	}
	return b
}
