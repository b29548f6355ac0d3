package nft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"

	"pbr/compiler/plan"
)

// A snapshot is a Live in a file, so that the next run need not read the kernel when nobody changed anything since. It
// holds plan values, not kernel ones: a wanted ruleset is compared with it piece by piece in the
// snapshot's own form, and only pieces that differ are decoded.
//
// Form: magic, checksum of the rest, identity, generation, then counters, sets, chains. Numbers are unsigned varints,
// strings and blobs have their length before them.
const snapshotMagic = "pbr-nft-1\n"

// errSnapshot is what any damaged snapshot is.
var errSnapshot = errors.New("snapshot is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot returns l for Conn.Load to start from, or nil when l holds anything that is not pbr's and so is not worth keeping.
func (l *Live) Snapshot() []byte {
	if l.identity == "" || l.rebuild || len(l.irregular)+len(l.foreign)+len(l.Ruleset.Foreign) > 0 || hasForeign(&l.Ruleset) {
		return nil
	}
	p := packer{b: make([]byte, 0, 64<<10)}
	p.str(l.identity)
	p.num(uint64(l.Generation))
	p.bool(l.exists)
	p.piece(l.pieces.counters, func(p *packer) { p.counters(l.Ruleset.Counters) })
	p.num(uint64(len(l.Ruleset.Sets)))
	for i := range l.Ruleset.Sets {
		s := &l.Ruleset.Sets[i]
		p.blob(func(p *packer) { p.setHead(s) })
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
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(content, castagnoli))
	return append(b, content...)
}

// pieces are parts of a snapshot that need not be written anew; nil where there is none.
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

// hasForeign tells whether anything of the ruleset is not as pbr makes it.
func hasForeign(r *plan.Ruleset) bool {
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
		binary.BigEndian.Uint32(b[len(snapshotMagic):]) != crc32.Checksum(b[head:], castagnoli) {
		return nil, errSnapshot
	}
	u := unpacker{b: b[head:]}
	l := &Live{irregular: map[string]bool{}, pieces: pieces{elements: map[string][]byte{}}}
	l.identity = u.str()
	l.Generation = uint32(u.num())
	l.exists = u.bool()
	l.pieces.counters = u.blob()
	l.Ruleset.Counters = u.counters(l.pieces.counters, want.Counters)
	for range u.count() {
		s, elements := u.set(want)
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

// set reads a set, and returns the piece that has its elements too.
func (u *unpacker) set(want *plan.Ruleset) (s plan.Set, blob []byte) {
	head := unpacker{b: u.blob()}
	s = plan.Set{Name: head.str(), Type: plan.Type(head.num()), Interval: head.bool(), Map: head.bool(), Comment: head.str()}
	blob = u.blob()
	for i := range want.Sets {
		w := &want.Sets[i]
		if w.Name == s.Name && w.Type == s.Type && w.Map == s.Map && packed(func(p *packer) { p.elements(w) }, blob) {
			s.Elements = w.Elements
			return s, blob
		}
	}
	in := unpacker{b: blob}
	for range in.count() {
		e := plan.Element{From: in.key(s.Type), To: in.key(s.Type)}
		if s.Map {
			e.Goto = in.str()
		}
		s.Elements = append(s.Elements, e)
	}
	u.bad = u.bad || in.bad || head.bad
	return s, blob
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

// packed tells whether write gives exactly blob.
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

// packer writes, unpacker reads the form of a snapshot.
type packer struct{ b []byte }

func (p *packer) num(v uint64) { p.b = binary.AppendUvarint(p.b, v) }

func (p *packer) bool(v bool) {
	if v {
		p.b = append(p.b, 1)
		return
	}
	p.b = append(p.b, 0)
}

func (p *packer) str(s string) {
	p.num(uint64(len(s)))
	p.b = append(p.b, s...)
}

// blob writes what write writes, with its length, in 4 bytes, before it.
func (p *packer) blob(write func(*packer)) {
	at := len(p.b)
	p.b = append(p.b, 0, 0, 0, 0)
	write(p)
	binary.BigEndian.PutUint32(p.b[at:], uint32(len(p.b)-at-4))
}

// piece writes a blob that is there already, or else what write writes.
func (p *packer) piece(blob []byte, write func(*packer)) {
	if blob == nil {
		p.blob(write)
		return
	}
	p.b = binary.BigEndian.AppendUint32(p.b, uint32(len(blob)))
	p.b = append(p.b, blob...)
}

func (p *packer) key(k *plan.Key, t plan.Type) { p.b = append(p.b, k[:t.Width()]...) }

func (p *packer) counters(list []plan.Counter) {
	p.num(uint64(len(list)))
	for i := range list {
		p.str(list[i].Name)
		p.str(list[i].Comment)
	}
}

func (p *packer) setHead(s *plan.Set) {
	p.str(s.Name)
	p.num(uint64(s.Type))
	p.bool(s.Interval)
	p.bool(s.Map)
	p.str(s.Comment)
}

func (p *packer) elements(s *plan.Set) {
	p.num(uint64(len(s.Elements)))
	for i := range s.Elements {
		e := &s.Elements[i]
		p.key(&e.From, s.Type)
		p.key(&e.To, s.Type)
		if s.Map {
			p.str(e.Goto)
		}
	}
}

func (p *packer) chainHead(ch *plan.Chain) {
	p.str(ch.Name)
	p.str(ch.Kind)
	p.str(ch.Hook)
	p.num(uint64(uint32(ch.Priority)))
}

func (p *packer) rule(r *plan.ChainRule) {
	p.str(r.Comment)
	matches := plan.CanonicalMatches(r.Matches)
	p.num(uint64(len(matches)))
	for i := range matches {
		m := &matches[i]
		p.num(uint64(m.Field))
		p.num(uint64(m.Mask))
		p.bool(m.Not)
		p.bool(m.Wildcard)
		p.str(m.Set)
		if m.Set == "" {
			p.key(&m.From, m.Field.Type())
			p.key(&m.To, m.Field.Type())
		}
	}
	p.num(uint64(len(r.Actions)))
	for i := range r.Actions {
		a := &r.Actions[i]
		p.num(uint64(a.Kind))
		p.str(a.Chain)
		p.num(uint64(a.Field))
		p.str(a.Set)
		p.num(uint64(a.Mask))
		p.num(uint64(a.Value))
		p.str(a.Name)
		p.num(uint64(a.Rate))
		p.num(uint64(a.Burst))
		addr, _ := a.Addr.MarshalBinary() // an address always marshals; an invalid one to nothing
		p.str(string(addr))
	}
}

type unpacker struct {
	b   []byte
	bad bool
}

func (u *unpacker) num() uint64 {
	v, n := binary.Uvarint(u.b)
	if n <= 0 {
		u.bad, u.b = true, nil
		return 0
	}
	u.b = u.b[n:]
	return v
}

// count is a number of things that follow, each of at least a byte.
func (u *unpacker) count() int {
	n := u.num()
	if n > uint64(len(u.b)) {
		u.bad, u.b = true, nil
		return 0
	}
	return int(n)
}

func (u *unpacker) bool() bool { return u.num() == 1 }

func (u *unpacker) take(n uint64) []byte {
	if n > uint64(len(u.b)) {
		u.bad, u.b = true, nil
		return nil
	}
	v := u.b[:n]
	u.b = u.b[n:]
	return v
}

func (u *unpacker) str() string { return string(u.take(u.num())) }

func (u *unpacker) blob() []byte {
	size := u.take(4)
	if len(size) < 4 {
		return nil
	}
	return u.take(uint64(binary.BigEndian.Uint32(size)))
}

func (u *unpacker) key(t plan.Type) (k plan.Key) {
	copy(k[:], u.take(uint64(t.Width())))
	return k
}

func (u *unpacker) rule() (r plan.ChainRule) {
	r.Comment = u.str()
	for range u.count() {
		m := plan.Match{Field: plan.Field(u.num()), Mask: uint32(u.num()), Not: u.bool(), Wildcard: u.bool(), Set: u.str()}
		if m.Set == "" {
			m.From, m.To = u.key(m.Field.Type()), u.key(m.Field.Type())
		}
		r.Matches = append(r.Matches, m)
	}
	for range u.count() {
		a := plan.Action{Kind: plan.ActionKind(u.num()), Chain: u.str(), Field: plan.Field(u.num()), Set: u.str(),
			Mask: uint32(u.num()), Value: uint32(u.num()), Name: u.str(), Rate: uint32(u.num()), Burst: uint32(u.num())}
		var addr netip.Addr
		if err := addr.UnmarshalBinary([]byte(u.str())); err != nil {
			u.bad = true
		}
		a.Addr = addr
		r.Actions = append(r.Actions, a)
	}
	return r
}
