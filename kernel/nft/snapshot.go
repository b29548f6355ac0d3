package nft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"sync"

	"pbr/compiler/plan"
)

// A snapshot is a Live in a file, so that the next run need not read the kernel when nobody changed
// anything since. It holds plan values, not kernel ones: a wanted ruleset is compared with it piece
// by piece in the snapshot's own form, and only pieces that differ are decoded.
//
// Form: magic, checksum of the rest, identity, generation, then counters, flowtables, sets, chains.
// Numbers are unsigned varints, strings and blobs have their length before them.
const snapshotMagic = "pbr-nft-7\n"

// errSnapshot is what any damaged snapshot is.
var errSnapshot = errors.New("snapshot is damaged")

// castagnoli is made when it is needed: it takes as long as all other packages together to start.
var castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

// Snapshot returns l for Conn.Load to start from, or nil when l holds anything that is not pbr's
// and so is not worth keeping.
func (l *Live) Snapshot() []byte {
	if l.identity == "" || l.rebuild || len(l.irregular)+len(l.foreign)+len(l.Ruleset.Foreign) > 0 || hasForeign(&l.Ruleset) {
		return nil
	}
	p := packer{b: make([]byte, 0, 64<<10)}
	p.str(l.identity)
	p.num(uint64(l.Generation))
	p.bool(l.exists)
	p.piece(l.pieces.counters, func(p *packer) { p.counters(l.Ruleset.Counters) })
	p.flowtables(l.Ruleset.Flowtables)
	p.num(uint64(len(l.Ruleset.Sets)))
	for i := range l.Ruleset.Sets {
		s := &l.Ruleset.Sets[i]
		p.blob(func(p *packer) { p.setHead(s) })
		p.bool(l.bCopies[s.Name])
		p.piece(l.pieces.elements[s.Name], func(p *packer) { p.elements(s) })
	}
	p.num(uint64(len(l.Ruleset.Chains)))
	for i := range l.Ruleset.Chains {
		ch := &l.Ruleset.Chains[i]
		p.blob(func(p *packer) { p.chainHead(ch) })
		p.num(uint64(len(ch.Rules)))
		for j := range ch.Rules {
			p.num(l.handles[i][j])
			p.piece(l.pieces.rule(i, j), func(p *packer) { p.rule(&ch.Rules[j]) })
		}
	}
	return sealed(p.b)
}

// sealed puts magic and checksum before the content of a snapshot.
func sealed(content []byte) []byte {
	b := append(make([]byte, 0, len(snapshotMagic)+4+len(content)), snapshotMagic...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(content, castagnoli()))
	return append(b, content...)
}

// pieces are parts of a snapshot that need not be written again; nil where there is none.
type pieces struct {
	counters []byte
	// elements are by set.
	elements map[string][]byte
	// rules are by chain and rule, as in Ruleset.Chains.
	rules [][][]byte
}

func (p *pieces) rule(chain, rule int) []byte {
	if chain < len(p.rules) && p.rules[chain] != nil {
		return p.rules[chain][rule]
	}
	return nil
}

// hasForeign reports whether anything of the ruleset is not as pbr makes it.
func hasForeign(r *plan.Ruleset) bool {
	for i := range r.Flowtables {
		if r.Flowtables[i].Foreign != "" {
			return true
		}
	}
	for i := range r.Sets {
		if r.Sets[i].Foreign != "" {
			return true
		}
	}
	for i := range r.Chains {
		if r.Chains[i].Foreign != "" {
			return true
		}
		for j := range r.Chains[i].Rules {
			if r.Chains[i].Rules[j].Foreign != "" {
				return true
			}
		}
	}
	return false
}

// parseSnapshot is the opposite of Snapshot. Whatever is the same in want is want's own memory.
func parseSnapshot(b []byte, want *plan.Ruleset) (*Live, error) {
	head := len(snapshotMagic) + 4
	if len(b) < head || string(b[:len(snapshotMagic)]) != snapshotMagic ||
		binary.BigEndian.Uint32(b[len(snapshotMagic):]) != crc32.Checksum(b[head:], castagnoli()) {
		return nil, errSnapshot
	}
	u := unpacker{b: b[head:]}
	l := &Live{irregular: map[string]bool{}, bCopies: map[string]bool{}, pieces: pieces{elements: map[string][]byte{}}}
	l.identity = u.str()
	l.Generation = uint32(u.num())
	l.exists = u.bool()
	l.pieces.counters = u.blob()
	l.Ruleset.Counters = u.counters(l.pieces.counters, want.Counters)
	l.Ruleset.Flowtables = u.flowtables()
	for range u.count() {
		s, second, elements := u.set(want)
		if second {
			l.bCopies[s.Name] = true
		}
		l.Ruleset.Sets = append(l.Ruleset.Sets, s)
		l.pieces.elements[s.Name] = elements
	}
	wanted := make(map[string]*plan.Chain, len(want.Chains))
	for i := range want.Chains {
		wanted[want.Chains[i].Name] = &want.Chains[i]
	}
	for range u.count() {
		ch, handles, rules := u.chain(wanted)
		l.Ruleset.Chains = append(l.Ruleset.Chains, ch)
		l.handles = append(l.handles, handles)
		l.pieces.rules = append(l.pieces.rules, rules)
	}
	if u.bad || len(u.b) > 0 {
		return nil, errSnapshot
	}
	return l, nil
}

// counters reads counters.
func (u *unpacker) counters(blob []byte, want []plan.Counter) []plan.Counter {
	if packed(func(p *packer) { p.counters(want) }, blob) {
		return want
	}
	in := unpacker{b: blob}
	out := make([]plan.Counter, 0, in.count())
	for range cap(out) {
		out = append(out, plan.Counter{Name: in.str(), Comment: in.str()})
	}
	u.bad = u.bad || in.bad
	return out
}

// set reads a set, and returns whether the kernel has its B copy, and the piece that
// has its elements too.
func (u *unpacker) set(want *plan.Ruleset) (s plan.Set, second bool, blob []byte) {
	head := unpacker{b: u.blob()}
	s = plan.Set{Name: head.str(), Type: plan.Type(head.num()), Interval: head.bool(), Map: head.bool(),
		Counted: head.bool(), Comment: head.str(),
		Data: plan.Type(head.num()), Dynamic: head.bool(), RunTime: head.bool(), Size: uint32(head.num())}
	for range head.count() {
		s.Concat = append(s.Concat, plan.Type(head.num()))
	}
	second, blob = u.bool(), u.blob()
	for i := range want.Sets {
		w := &want.Sets[i]
		if w.Name == s.Name && w.Type == s.Type && slices.Equal(w.Concat, s.Concat) && w.Map == s.Map && w.Counted == s.Counted &&
			packed(func(p *packer) { p.elements(w) }, blob) {
			s.Elements, s.Tuples = w.Elements, w.Tuples
			return s, second, blob
		}
	}
	in := unpacker{b: blob}
	if width := uint64(plan.TupleWidth(s.Concat)); width > 0 {
		n := in.count()
		s.Tuples = slices.Grow(s.Tuples, min(n, len(in.b)/int(2*width)))
		for range n {
			e := plan.Tuple{From: string(in.take(width)), To: string(in.take(width))}
			if s.Map {
				e.Goto = in.str()
			}
			if s.Counted {
				e.Counter = in.str()
			}
			s.Tuples = append(s.Tuples, e)
		}
		u.bad = u.bad || in.bad || head.bad
		return s, second, blob
	}
	n := in.count()
	s.Elements = slices.Grow(s.Elements, min(n, len(in.b)/max(1, 2*s.Type.Width())))
	for range n {
		e := plan.Element{From: in.key(s.Type), To: in.key(s.Type)}
		if s.Map {
			e.Goto, e.Jump = in.str(), in.bool()
		}
		if s.Counted {
			e.Counter = in.str()
		}
		s.Elements = append(s.Elements, e)
	}
	u.bad = u.bad || in.bad || head.bad
	return s, second, blob
}

// chain reads a chain, with handle and piece of each of its rules.
func (u *unpacker) chain(wanted map[string]*plan.Chain) (ch plan.Chain, handles []uint64, blobs [][]byte) {
	head := unpacker{b: u.blob()}
	ch = plan.Chain{Name: head.str(), Kind: head.str(), Hook: head.str(), Priority: int32(head.num())}
	n := u.count()
	handles, blobs = make([]uint64, n), make([][]byte, n)
	for i := range n {
		handles[i], blobs[i] = u.num(), u.blob()
	}
	u.bad = u.bad || head.bad
	var want []plan.ChainRule
	if w := wanted[ch.Name]; w != nil {
		want = w.Rules
	}
	same := 0
	for same < n && same < len(want) && samePacked(&want[same], blobs[same]) {
		same++
	}
	if same == n {
		ch.Rules = want[:n:n]
		return ch, handles, blobs
	}
	ch.Rules = make([]plan.ChainRule, n)
	copy(ch.Rules, want[:same])
	end := n
	for k := 1; end > same && len(want)-k >= same && samePacked(&want[len(want)-k], blobs[end-1]); k++ {
		end--
		ch.Rules[end] = want[len(want)-k]
	}
	for i := same; i < end; i++ {
		in := unpacker{b: blobs[i]}
		ch.Rules[i] = in.rule()
		u.bad = u.bad || in.bad
	}
	return ch, handles, blobs
}

// packed reports whether write gives exactly blob.
func packed(write func(*packer), blob []byte) bool {
	p := packer{b: make([]byte, 0, len(blob)+64)}
	write(&p)
	return bytes.Equal(p.b, blob)
}

func samePacked(r *plan.ChainRule, blob []byte) bool {
	var room [512]byte
	p := packer{b: room[:0]}
	p.rule(r)
	return bytes.Equal(p.b, blob)
}
