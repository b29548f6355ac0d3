package nft

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/lazy"
)

// describeRule prints a rule that pbr could not have made, much as "nft --debug=netlink" does:
// equal text only for equal expressions. What packets change (counters, a quota's use, a limit's or
// last's state) is omitted.
func describeRule(xs []expr, userdata []byte) string {
	var b strings.Builder
	for i := range xs {
		if i > 0 {
			b.WriteByte(' ')
		}
		describeExpr(&b, &xs[i])
	}
	comment := udataText(userdata, udataRuleComment)
	switch {
	case comment != "" && string(appendComment(nil, udataRuleComment, comment)) == string(userdata):
		fmt.Fprintf(&b, " comment %q", comment)
	case len(userdata) > 0:
		fmt.Fprintf(&b, " userdata %s", hex.EncodeToString(userdata))
	}
	return b.String()
}

// volatile has, by expression, the attributes that change while packets pass (nf_tables.h).
var volatile = lazy.Value[map[string][]uint16]{Make: func() map[string][]uint16 {
	return map[string][]uint16{
		"counter": {1, 2},
		"quota":   {4},
		"last":    {1, 2},
	}
}}

// padAttrs has the attributes that only align others (NFTA_*_PAD).
var padAttrs = lazy.Value[map[string]uint16]{Make: func() map[string]uint16 {
	return map[string]uint16{"counter": 3, "quota": 3, "limit": 6, "last": 3}
}}

// attrNames has nft's words for the attributes of common expressions.
var attrNames = lazy.Value[map[string][]string]{Make: func() map[string][]string {
	return map[string][]string{
		"meta":      {1: "dreg", 2: "key", 3: "sreg"},
		"ct":        {1: "dreg", 2: "key", 3: "dir", 4: "sreg"},
		"cmp":       {1: "reg", 2: "op", 3: "data"},
		"payload":   {1: "dreg", 2: "base", 3: "offset", 4: "len", 5: "sreg", 6: "csum-type", 7: "csum-offset", 8: "csum-flags"},
		"bitwise":   {1: "sreg", 2: "dreg", 3: "len", 4: "mask", 5: "xor", 6: "op", 7: "data"},
		"lookup":    {1: "set", 2: "reg", 3: "dreg", 4: "id", 5: "flags"},
		"immediate": {1: "reg", 2: "data"},
		"range":     {1: "reg", 2: "op", 3: "from", 4: "to"},
		"byteorder": {1: "sreg", 2: "dreg", 3: "op", 4: "len", 5: "size"},
		"fib":       {1: "dreg", 2: "result", 3: "flags"},
		"objref":    {1: "type", 2: "name", 3: "sreg", 4: "set"},
		"limit":     {1: "rate", 2: "unit", 3: "burst", 4: "type", 5: "flags"},
		"log":       {1: "group", 2: "prefix", 3: "snaplen", 4: "qthreshold", 5: "level", 6: "flags"},
		"nat":       {1: "type", 2: "family", 3: "addr-min", 4: "addr-max", 5: "port-min", 6: "port-max", 7: "flags"},
		"masq":      {1: "flags", 2: "port-min", 3: "port-max"},
		"reject":    {1: "type", 2: "code"},
		"redir":     {1: "port-min", 2: "port-max", 3: "flags"},
		"quota":     {1: "bytes", 2: "flags"},
		"notrack":   {},
	}
}}

// textAttrs are the attributes that hold names.
var textAttrs = lazy.Value[map[string][]uint16]{Make: func() map[string][]uint16 {
	return map[string][]uint16{
		"lookup": {unix.NFTA_LOOKUP_SET},
		"objref": {unix.NFTA_OBJREF_IMM_NAME, unix.NFTA_OBJREF_SET_NAME},
		"log":    {unix.NFTA_LOG_PREFIX},
	}
}}

func describeExpr(b *strings.Builder, x *expr) {
	fmt.Fprintf(b, "[ %s", x.name)
	for typ, v := range attrs(x.data) {
		if pad, ok := padAttrs.Get()[x.name]; ok && pad == typ || slices.Contains(volatile.Get()[x.name], typ) {
			continue
		}
		names := attrNames.Get()[x.name]
		if int(typ) < len(names) && names[typ] != "" {
			fmt.Fprintf(b, " %s ", names[typ])
		} else {
			fmt.Fprintf(b, " attr%d ", typ)
		}
		switch {
		case slices.Contains(textAttrs.Get()[x.name], typ):
			fmt.Fprintf(b, "%q", text(v))
		case len(v) == 4:
			fmt.Fprintf(b, "%d", number(v))
		default:
			b.WriteString(describeData(v))
		}
	}
	b.WriteString(" ]")
}

// describeData prints a value or verdict by its words, anything else in hexadecimal.
func describeData(v []byte) string {
	if value := attr(v, unix.NFTA_DATA_VALUE); value != nil && len(value)+attrHeader <= len(v) && len(v) <= len(value)+attrHeader+3 {
		return "0x" + hex.EncodeToString(value)
	}
	verdict := attr(v, unix.NFTA_DATA_VERDICT)
	if verdict == nil {
		return "0x" + hex.EncodeToString(v)
	}
	word := verdictWord(int32(number(attr(verdict, unix.NFTA_VERDICT_CODE))))
	if chain := attr(verdict, unix.NFTA_VERDICT_CHAIN); chain != nil {
		word += " " + text(chain)
	}
	return word
}

func verdictWord(code int32) string {
	switch code {
	case nfDrop:
		return "drop"
	case nfAccept:
		return "accept"
	case unix.NFT_CONTINUE:
		return "continue"
	case unix.NFT_BREAK:
		return "break"
	case unix.NFT_JUMP:
		return "jump"
	case unix.NFT_GOTO:
		return "goto"
	case unix.NFT_RETURN:
		return "return"
	}
	return fmt.Sprintf("verdict %d", code)
}

// describeElement prints an element of an anonymous set.
func describeElement(elem []byte) string {
	var b strings.Builder
	for typ, v := range attrs(elem) {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY:
			b.WriteString(describeData(v))
		case unix.NFTA_SET_ELEM_DATA:
			b.WriteString(" : " + describeData(v))
		case unix.NFTA_SET_ELEM_FLAGS:
			if number(v) == unix.NFT_SET_ELEM_INTERVAL_END {
				b.WriteString(" end")
				continue
			}
			fmt.Fprintf(&b, " flags %#x", number(v))
		case unix.NFTA_SET_ELEM_EXPIRATION, unix.NFTA_SET_ELEM_PAD, unix.NFTA_SET_ELEM_EXPR:
			// Packets change these.
		default:
			fmt.Fprintf(&b, " attr%d %s", typ, describeData(v))
		}
	}
	return b.String()
}
