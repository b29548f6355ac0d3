package policy

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"strings"
)

// maxComparisons bounds the search for covered policies; beyond it (far from any file seen) the
// rest of the file gets no such warnings. At some 20 ns each this is 100 ms.
const maxComparisons = 5_000_000

// coverIndex finds earlier policies that may cover a later one. Each stands in the buckets of one
// field: those of all values of the field, so that any one value of a policy it covers finds it.
type coverIndex struct {
	all     []match
	buckets map[coverKey]bucket
	// members are the policies of all buckets.
	members []member
	// wide are policies whose fields are all too wide to index.
	wide []int32
	// lengths has the prefix lengths in use, per field and family.
	lengths [2][2][129]bool
	// popularity counts how many policies have a field's value, by what popularityKey makes of it.
	popularity map[coverKey]int
	compared   int
}

// coverField is a field that policies can be indexed by.
type coverField uint8

const (
	fieldSrc coverField = iota
	fieldDst
	fieldDPort
	fieldSPort
	fieldMAC
	fieldFrom
	fieldCount
)

// coverKey is a bucket: one value of a field, as 128 bits. bits is the length of a prefix, plus
// one, and 200 more for IPv6.
type coverKey struct {
	field  coverField
	bits   uint8
	hi, lo uint64
}

// bucket is a list of members, in the order of the file: the first and the last one's index.
type bucket struct{ first, last int32 }

// member is a policy in a bucket; next is the index of the next one's, 0 after the last.
type member struct{ policy, next int32 }

// maxKeys is how many values of a field a policy may have to be indexed by it.
const maxKeys = 64

func newCoverIndex(all []match) *coverIndex {
	return &coverIndex{all: all, buckets: make(map[coverKey]bucket, len(all)), members: make([]member, 1, len(all)+1),
		popularity: map[coverKey]int{}}
}

// addr returns the set of one of the first two fields.
func (m *match) addr(f coverField) *addrSet {
	if f == fieldSrc {
		return m.src
	}
	return m.dst
}

// ports returns the set of one of the two port fields.
func (m *match) ports(f coverField) intervals {
	if f == fieldDPort {
		return m.dport
	}
	return m.sport
}

// keys yields the buckets of a field; none when it is any. A wide field has more than maxKeys.
func (m *match) keys(f coverField) iter.Seq[coverKey] {
	return func(yield func(coverKey) bool) {
		switch f {
		case fieldSrc, fieldDst:
			for _, r := range m.addr(f).ranges {
				for p := range r.Prefixes() {
					if !yield(prefixKey(f, p)) {
						return
					}
				}
			}
		case fieldDPort, fieldSPort:
			for _, span := range m.ports(f) {
				for n := span.From; n <= span.To; n++ {
					if !yield(coverKey{field: f, lo: uint64(n)}) {
						return
					}
				}
			}
		case fieldMAC:
			for _, item := range m.policy.MAC {
				if !yield(bytesKey(f, item.Addr[:])) {
					return
				}
			}
		case fieldFrom:
			if m.policy.Local {
				return
			}
			for _, item := range m.policy.From {
				if item.Not || strings.HasSuffix(item.Name, "*") {
					return // found as wide
				}
			}
			for _, item := range m.policy.From {
				if !yield(bytesKey(f, []byte(item.Name))) {
					return
				}
			}
		}
	}
}

// bytesKey is the bucket of up to 16 bytes.
func bytesKey(f coverField, b []byte) coverKey {
	var v [16]byte
	copy(v[:], b)
	return coverKey{field: f, hi: binary.BigEndian.Uint64(v[:8]), lo: binary.BigEndian.Uint64(v[8:])}
}

// prefixKey is the bucket of a prefix.
func prefixKey(f coverField, p netip.Prefix) coverKey {
	if p.Addr().Is4() {
		return coverKey{field: f, bits: uint8(p.Bits()) + 1, lo: uint64(v4Number(p.Addr()))}
	}
	b := p.Addr().As16()
	k := bytesKey(f, b[:])
	k.bits = uint8(p.Bits()) + 100
	return k
}

// width counts the buckets of a field, up to one more than maxKeys.
func (m *match) width(f coverField) int {
	n := 0
	for range m.keys(f) {
		if n++; n > maxKeys {
			break
		}
	}
	return n
}

// popularityKey stands for a field's whole value; values that are told apart too little only
// make the choice of a field a little worse.
func (m *match) popularityKey(f coverField) (coverKey, bool) {
	for k := range m.keys(f) {
		return k, true
	}
	return coverKey{}, false
}

// oneKey returns the bucket of one value that m has, also when m itself is not indexed by the
// field.
func (m *match) oneKey(f coverField) (coverKey, bool) {
	if f == fieldFrom {
		for _, item := range m.policy.From {
			if !item.Not {
				return bytesKey(f, []byte(item.Name)), true
			}
		}
	}
	return m.popularityKey(f)
}

// count makes the popularity of a policy's values known.
func (x *coverIndex) count(m *match) {
	m.src.popularity[fieldSrc]++
	m.dst.popularity[fieldDst]++
	for f := fieldDPort; f < fieldCount; f++ {
		if k, ok := m.popularityKey(f); ok {
			x.popularity[k]++
		}
	}
}

// popular returns how many policies have m's value of a field; false when it is any.
func (x *coverIndex) popular(m *match, f coverField) (int, bool) {
	if f == fieldSrc || f == fieldDst {
		set := m.addr(f)
		return set.popularity[f], len(set.ranges) > 0 && len(set.ranges) <= maxKeys
	}
	k, ok := m.popularityKey(f)
	return x.popularity[k], ok
}

// add puts a policy into the buckets of its least popular field.
func (x *coverIndex) add(i int32) {
	m := &x.all[i]
	best, least := fieldCount, 0
	for f := range fieldCount {
		n, ok := x.popular(m, f)
		if ok && (best == fieldCount || n < least) && m.width(f) <= maxKeys {
			best, least = f, n
		}
	}
	if best == fieldCount {
		x.wide = append(x.wide, i)
		return
	}
	for k := range m.keys(best) {
		x.enter(k, i)
		switch {
		case k.bits >= 100:
			x.lengths[k.field][1][k.bits-100] = true
		case k.bits > 0:
			x.lengths[k.field][0][k.bits-1] = true
		}
	}
}

// enter puts a policy into a bucket.
func (x *coverIndex) enter(k coverKey, policy int32) {
	at := int32(len(x.members))
	x.members = append(x.members, member{policy: policy})
	b, known := x.buckets[k]
	if !known {
		b.first = at
	} else {
		x.members[b.last].next = at
	}
	b.last = at
	x.buckets[k] = b
}

// find returns the first policy that covers policy i, or -1.
func (x *coverIndex) find(i int32) int32 {
	m := &x.all[i]
	best := int32(-1)
	for _, c := range x.wide {
		if covers, over := x.try(m, c, best); covers {
			best = c // the rest comes after it
		} else if over {
			break
		}
	}
	for f := range fieldCount {
		switch f {
		case fieldSrc, fieldDst:
			best = x.around(m, best, f)
		default:
			// One value is enough: who covers the policy has all of them.
			if k, ok := m.oneKey(f); ok {
				best = x.bucket(m, best, k)
			}
		}
	}
	return best
}

// bucket returns the first policy of a bucket that covers m, if it comes before best.
func (x *coverIndex) bucket(m *match, best int32, k coverKey) int32 {
	for at := x.buckets[k].first; at != 0; at = x.members[at].next {
		c := x.members[at].policy
		if covers, over := x.try(m, c, best); over {
			return best
		} else if covers {
			return c
		}
	}
	return best
}

// try reports whether a policy covers m. It is over when the policy comes after best, or the search
// is long.
func (x *coverIndex) try(m *match, c, best int32) (covers, over bool) {
	if best >= 0 && c >= best || x.compared > maxComparisons {
		return false, true
	}
	x.compared++
	return x.all[c].covers(m), false
}

// around tries the policies indexed by a prefix around a set's first address.
func (x *coverIndex) around(m *match, best int32, f coverField) int32 {
	set := m.addr(f)
	if len(set.ranges) == 0 {
		return best
	}
	a := set.ranges[0].From
	family := 0
	if !a.Is4() {
		family = 1
	}
	for n := range a.BitLen() + 1 {
		if x.lengths[f][family][n] {
			prefix, _ := a.Prefix(n)
			best = x.bucket(m, best, prefixKey(f, prefix))
		}
	}
	return best
}
