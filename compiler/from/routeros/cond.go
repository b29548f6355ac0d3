package routeros

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/interval"
)

// key is what a policy selects by.
type key int

const (
	keyFrom key = iota
	keySrc
	keyDst
	keyProto
	keySPort
	keyDPort
	keyDSCP
	keyMAC
	keyICMP
	keyTime
	keyCount
)

// keyNames are the keys of a [[policy]].
var keyNames = [keyCount]string{"from", "src", "dst", "proto", "sport", "dport", "dscp", "mac", "icmp-type", "schedule"}

// sel is what one key selects: one of pos (anything, if there are none), and none of neg.
type sel struct{ pos, neg []string }

// cond is what a packet must be, all of it; keys that are nil do not select.
type cond struct {
	keys [keyCount]*sel
	ipv  int
	log  bool
	// class is what deals connections out.
	class *class
}

// class is a per-connection-classifier or nth: buckets [at] of n.
type class struct {
	nth    bool
	fields string
	n      int
	at     int
}

// always reports whether every packet is so.
func (c *cond) always() bool {
	for _, s := range c.keys {
		if s != nil {
			return false
		}
	}
	return c.class == nil
}

// text tells conditions apart.
func (c *cond) text() string {
	var b strings.Builder
	for k, s := range c.keys {
		if s != nil {
			b.WriteString(strconv.Itoa(k) + strings.Join(s.pos, ",") + "!" + strings.Join(s.neg, ",") + ";")
		}
	}
	if c.class != nil {
		b.WriteString(c.class.fields + strconv.Itoa(c.class.n) + "/" + strconv.Itoa(c.class.at))
	}
	return b.String()
}

// same reports whether two conditions select alike.
func (c *cond) same(o *cond) bool { return c.class.same(o.class) && c.sameKeys(o) }

func (c *cond) sameKeys(o *cond) bool {
	if c == o {
		return true
	}
	for i := range c.keys {
		if !c.keys[i].same(o.keys[i]) {
			return false
		}
	}
	return c.ipv == o.ipv
}

// covers reports whether all packets that o selects are c's, as far as equal keys show it.
func (c *cond) covers(o *cond) bool {
	for i, s := range c.keys {
		if s != nil && !s.same(o.keys[i]) {
			return false
		}
	}
	return c.class == nil || c.class.same(o.class)
}

func (c *class) same(o *class) bool { return c == o || c != nil && o != nil && *c == *o }

func (s *sel) same(o *sel) bool {
	return s == o || s != nil && o != nil && slices.Equal(s.pos, o.pos) && slices.Equal(s.neg, o.neg)
}

// joined is how two conditions go together.
type joined int

const (
	joins joined = iota
	// never: no packet is both.
	never
	// unjoinable: a policy cannot say both.
	unjoinable
)

// and joins two conditions.
func (c *cond) and(o *cond, lists map[string]*list) (*cond, joined) {
	if c.always() && !c.log && (c.ipv == 0 || c.ipv == o.ipv) {
		return o, joins
	}
	if o.always() && !o.log && (o.ipv == 0 || c.ipv == o.ipv) {
		return c, joins
	}
	if c.sameKeys(o) && c.class.same(o.class) {
		return c, joins
	}
	out := *c
	out.log = c.log || o.log
	if out.ipv = cmp.Or(c.ipv, o.ipv); o.ipv != 0 && out.ipv != o.ipv {
		return nil, never
	}
	worst := joins
	for k := range keyCount {
		s, j := c.keys[k].and(o.keys[k], k, lists)
		if j == never {
			return nil, never
		}
		worst = max(worst, j)
		out.keys[k] = s
	}
	switch a, b := c.class, o.class; {
	case a == nil:
		out.class = b
	case b == nil || *a == *b:
	case a.nth == b.nth && a.fields == b.fields && a.n == b.n:
		return nil, never
	default:
		worst = unjoinable
	}
	return &out, worst
}

// and joins what one key selects.
func (s *sel) and(o *sel, k key, lists map[string]*list) (*sel, joined) {
	switch {
	case s == nil || s.same(o):
		return o, joins
	case o == nil:
		return s, joins
	}
	out := &sel{neg: union(s.neg, o.neg)}
	var j joined
	switch {
	case len(s.pos) == 0:
		out.pos = o.pos
	case len(o.pos) == 0:
		out.pos = s.pos
	case subset(s.pos, o.pos):
		out.pos = s.pos
	case subset(o.pos, s.pos):
		out.pos = o.pos
	default:
		out.pos, j = intersect(s.pos, o.pos, k, lists)
	}
	if j != joins {
		return out, j
	}
	return out.simplify()
}

// simplify takes out what is both selected and not.
func (s *sel) simplify() (*sel, joined) {
	if len(s.pos) == 0 || len(s.neg) == 0 {
		return s, joins
	}
	left := slices.DeleteFunc(slices.Clone(s.pos), func(p string) bool { return slices.Contains(s.neg, p) })
	if len(left) == 0 {
		return nil, never
	}
	s.pos = left
	return s, joins
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func subset(a, b []string) bool {
	if len(a) > 64 { // of long ones the intersection is computed
		return slices.Equal(a, b)
	}
	for _, s := range a {
		if !slices.Contains(b, s) {
			return false
		}
	}
	return true
}

// span is a range of numbers or addresses.
type span struct{ From, To netip.Addr }

// mostSpans bounds what lists are spelled out for.
const mostSpans = 4096

// intersect is what two lists of values share.
func intersect(a, b []string, k key, lists map[string]*list) ([]string, joined) {
	switch k {
	case keySrc, keyDst, keySPort, keyDPort:
	case keyTime:
		return nil, unjoinable
	default:
		out := slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
		if len(out) == 0 {
			return nil, never
		}
		return out, joins
	}
	read := portSpans
	if k == keySrc || k == keyDst {
		read = func(s []string) ([]span, bool) { return addrSpans(s, lists) }
	}
	x, ok1 := read(a)
	y, ok2 := read(b)
	if !ok1 || !ok2 {
		return nil, unjoinable
	}
	var out []string
	for _, p := range x {
		for _, q := range y {
			if both, ok := interval.Overlap(interval.Addrs{}, p, q); ok {
				out = append(out, spanText(both.From, both.To, k))
			}
		}
		if len(out) > mostSpans {
			return nil, unjoinable
		}
	}
	if len(out) == 0 {
		return nil, never
	}
	return out, joins
}

func spanText(lo, hi netip.Addr, k key) string {
	if k == keySPort || k == keyDPort {
		a, b := portOf(lo), portOf(hi)
		if a == b {
			return strconv.Itoa(a)
		}
		return strconv.Itoa(a) + "-" + strconv.Itoa(b)
	}
	if lo == hi {
		return lo.String()
	}
	for bits := range lo.BitLen() {
		p := netip.PrefixFrom(lo, bits)
		if p.Masked() == p && interval.LastAddr(p) == hi {
			return p.String()
		}
	}
	return lo.String() + "-" + hi.String()
}

// portAddr and portOf carry ports as addresses, so that one arithmetic does for both.
func portAddr(n int) netip.Addr { return netip.AddrFrom4([4]byte{0, 0, byte(n >> 8), byte(n)}) }

func portOf(a netip.Addr) int { b := a.As4(); return int(b[2])<<8 | int(b[3]) }

func portSpans(list []string) (out []span, ok bool) {
	for _, s := range list {
		lo, hi, isRange := strings.Cut(s, "-")
		if !isRange {
			hi = lo
		}
		a, err1 := strconv.Atoi(lo)
		b, err2 := strconv.Atoi(hi)
		if err1 != nil || err2 != nil {
			return nil, false
		}
		out = append(out, span{portAddr(a), portAddr(b)})
	}
	return out, true
}

// addrSpans spells out addresses and lists.
func addrSpans(values []string, lists map[string]*list) (out []span, ok bool) {
	for _, s := range values {
		if name, isList := strings.CutPrefix(s, "@"); isList {
			l := lists[name]
			if l == nil || l.partial != "" || len(l.entries) > mostSpans {
				return nil, false
			}
			for _, e := range l.entries {
				p, ok := addrSpan(e.Text)
				if !ok {
					return nil, false
				}
				out = append(out, p)
			}
			continue
		}
		p, ok := addrSpan(s)
		if !ok {
			return nil, false
		}
		out = append(out, p)
	}
	return out, len(out) <= mostSpans
}

func addrSpan(s string) (span, bool) {
	if lo, hi, isRange := strings.Cut(s, "-"); isRange {
		a, err1 := netip.ParseAddr(lo)
		b, err2 := netip.ParseAddr(hi)
		return span{a, b}, err1 == nil && err2 == nil
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return span{p.Addr(), interval.LastAddr(p)}, true
	}
	a, err := netip.ParseAddr(s)
	return span{a, a}, err == nil
}

// without returns conditions that together select what c does less what o does; ok is false where a
// policy cannot say so.
func (c *cond) without(o *cond) (*cond, bool) {
	only := key(-1)
	for k := range keyCount {
		if o.keys[k] != nil {
			if only >= 0 {
				return nil, false
			}
			only = k
		}
	}
	if only < 0 || only > keyDPort || o.class != nil || o.ipv != 0 && o.ipv != c.ipv || len(o.keys[only].neg) > 0 ||
		(only == keySPort || only == keyDPort) {
		return nil, false
	}
	out := *c
	s := &sel{neg: o.keys[only].pos}
	if c.keys[only] != nil {
		s = &sel{pos: c.keys[only].pos, neg: union(c.keys[only].neg, o.keys[only].pos)}
	}
	simple, j := s.simplify()
	if j == never {
		return nil, true
	}
	out.keys[only] = simple
	return &out, true
}
