package nft

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// encodeExprs sets the encoder's buffer to the rule's expressions.
func (e *ruleEncoder) encodeExprs(r *plan.ChainRule) error {
	e.b, e.family, e.proto, e.ether = e.b[:0], 0, 0, false
	matches := plan.CanonicalMatches(r.Matches)
	for i := range matches {
		if err := e.match(&matches[i]); err != nil {
			return err
		}
	}
	for _, a := range r.Actions {
		if err := e.action(a); err != nil {
			return err
		}
	}
	return nil
}

// maxComment is the longest comment of a rule or set in bytes: nft reserves 128 with the final
// NUL (NFTNL_UDATA_COMMENT_MAXLEN).
const maxComment = 127

// appendComment appends a comment as user data of the given type; none is nothing.
func appendComment(b []byte, typ byte, comment string) []byte {
	if comment == "" {
		return b
	}
	b = append(b, typ, byte(len(comment)+1))
	return append(append(b, comment...), 0)
}

// ruleAttrs appends the attributes of a new rule: its expressions and comment.
func (e *ruleEncoder) ruleAttrs(w *writer, r *plan.ChainRule) error {
	if r.Foreign != "" {
		return fmt.Errorf("the rule is not one of pbr's")
	}
	if len(r.Comment) > maxComment {
		return fmt.Errorf("the comment is longer than %d bytes", maxComment)
	}
	if err := e.encodeExprs(r); err != nil {
		return err
	}
	w.bytes(unix.NFTA_RULE_EXPRESSIONS, e.b)
	if r.Comment != "" {
		w.bytes(unix.NFTA_RULE_USERDATA, appendComment(nil, udataRuleComment, r.Comment))
	}
	return nil
}

// decodeRule turns a rule's expressions and user data into what encodes to exactly them, or into a
// foreign rule.
func (e *ruleEncoder) decodeRule(raw, userdata []byte) plan.ChainRule {
	xs := splitExprs(raw)
	r, ok := e.parseRule(effective(xs))
	if ok {
		r.Comment = udataText(userdata, udataRuleComment)
		r.Matches = plan.CanonicalMatches(r.Matches)
		ok = bytes.Equal(appendComment(nil, udataRuleComment, r.Comment), userdata) &&
			e.encodeExprs(&r) == nil && sameExprs(e.b, raw)
	}
	if !ok {
		return plan.ChainRule{Foreign: describeRule(xs, userdata)}
	}
	return r
}

// sameExprs reports whether two lists of expressions are the same. Kernels of one architecture give
// ours back byte for byte; others put padding before numbers of 64 bits, and the order of
// attributes is nobody's promise.
func sameExprs(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	return slices.EqualFunc(effective(splitExprs(a)), effective(splitExprs(b)), func(x, y expr) bool {
		return x.name == y.name && slices.EqualFunc(x.sorted(), y.sorted(), func(p, q attribute) bool {
			return p.typ == q.typ && bytes.Equal(p.value, q.value)
		})
	})
}

// effective returns expressions in the form that pbr writes: without what does nothing, and with a
// comparison for either end of an interval. Where the keys of an interval map have several fields,
// nft turns round the bytes of "meta l4proto", of which there is one; from 1.1 on it tests an
// interval by one expression; and from 1.1.4 on it compares one byte of the number that says
// whether there is a route.
func effective(xs []expr) []expr {
	var out []expr
	for _, x := range xs {
		switch {
		case x.name == "byteorder" && x.u32(unix.NFTA_BYTEORDER_LEN) < x.u32(unix.NFTA_BYTEORDER_SIZE) &&
			x.u32(unix.NFTA_BYTEORDER_SREG) == x.u32(unix.NFTA_BYTEORDER_DREG):
		case x.name == "range" && x.u32(unix.NFTA_RANGE_OP) == unix.NFT_RANGE_EQ && x.u32(unix.NFTA_RANGE_SREG) == reg1:
			var ends exprs
			ends.cmp(unix.NFT_CMP_GTE, x.value(unix.NFTA_RANGE_FROM_DATA))
			ends.cmp(unix.NFT_CMP_LTE, x.value(unix.NFTA_RANGE_TO_DATA))
			out = append(out, splitExprs(ends.b)...)
		case x.name == "cmp" && len(x.value(unix.NFTA_CMP_DATA)) == 1 && len(out) > 0 && asksPresence(&out[len(out)-1]):
			var whole exprs
			whole.cmp(x.u32(unix.NFTA_CMP_OP), binary.NativeEndian.AppendUint32(nil, uint32(x.value(unix.NFTA_CMP_DATA)[0])))
			out = append(out, splitExprs(whole.b)...)
		default:
			out = append(out, x)
		}
	}
	return out
}

// asksPresence reports whether an expression loads whether there is a route: 0 or 1.
func asksPresence(x *expr) bool {
	return x.name == "fib" && x.u32(unix.NFTA_FIB_FLAGS)&unix.NFTA_FIB_F_PRESENT != 0
}

// attribute is one attribute of an expression.
type attribute struct {
	typ   uint16
	value []byte
}

// sorted lists the expression's attributes by type, padding omitted.
func (x *expr) sorted() []attribute {
	var out []attribute
	for typ, v := range attrs(x.data) {
		if pad, ok := padAttrs.Get()[x.name]; !ok || pad != typ {
			out = append(out, attribute{typ, v})
		}
	}
	sorting.Func(out, func(a, b attribute) int { return cmp.Compare(a.typ, b.typ) })
	return out
}

// parseRule reads matches, then actions; ok is false when something else is between them.
func (e *ruleEncoder) parseRule(xs []expr) (r plan.ChainRule, ok bool) {
	var proto uint8
	for len(xs) > 0 {
		if len(r.Actions) == 0 {
			if implied := skipEther(xs); implied > 0 {
				xs = xs[implied:]
				continue
			}
			m, n, load := e.parseMatch(xs, proto)
			if n > 0 {
				if m.Field == plan.FieldL4Proto && m.IsValue(plan.FieldL4Proto, m.From[0]) {
					proto = m.From[0]
				}
				r.Matches = append(r.Matches, m)
				xs = xs[n:]
				continue
			}
			if load == "" {
				return r, false
			}
		}
		a, n := e.decodeAction(xs)
		if n == 0 {
			return r, false
		}
		r.Actions = append(r.Actions, a)
		xs = xs[n:]
	}
	return r, true
}

// parseMatch reads a match if there is one; a lookup that gives a verdict is an action.
// load is not empty when the expressions may be an action.
func (e *ruleEncoder) parseMatch(xs []expr, proto uint8) (m plan.Match, n int, load string) {
	load = xs[0].name
	field, src, ok := fieldOf(&xs[0], proto)
	if !ok {
		return m, 0, load
	}
	m, n = e.decodeMatch(xs, field, src)
	if n > 0 && attr(xs[n-1].data, unix.NFTA_LOOKUP_DREG) != nil && xs[n-1].name == "lookup" {
		return m, 0, load
	}
	return m, n, load
}

// skipEther returns how many expressions test for Ethernet, as nft does before a match on its
// header; encoding puts them back.
func skipEther(xs []expr) int {
	if len(xs) > 2 && xs[0].name == "meta" && xs[0].u32(unix.NFTA_META_KEY) == unix.NFT_META_IIFTYPE && xs[1].name == "cmp" {
		return 2
	}
	return 0
}

// udata walks libnftnl's user data: type, length and value, a byte each for the first two.
func udata(b []byte, f func(typ byte, v []byte)) (whole bool) {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		f(b[0], b[2:2+int(b[1])])
		b = b[2+int(b[1]):]
	}
	return len(b) == 0
}

// udataText is the string of the given type, empty if there is none.
func udataText(b []byte, typ byte) (s string) {
	udata(b, func(t byte, v []byte) {
		if t == typ {
			s = text(v)
		}
	})
	return s
}
