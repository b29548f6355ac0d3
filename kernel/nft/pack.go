package nft

import (
	"encoding/binary"

	"pbr/compiler/plan"
)

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

func (p *packer) flowtables(list []plan.Flowtable) {
	p.num(uint64(len(list)))
	for i := range list {
		f := &list[i]
		p.str(f.Name)
		p.num(uint64(uint32(f.Priority)))
		p.bool(f.Hardware)
		p.bool(f.Counter)
		p.num(uint64(len(f.Devices)))
		for _, d := range f.Devices {
			p.str(d)
		}
	}
}

func (u *unpacker) flowtables() (list []plan.Flowtable) {
	for range u.count() {
		f := plan.Flowtable{Name: u.str(), Priority: int32(u.num()), Hardware: u.bool(), Counter: u.bool()}
		for range u.count() {
			f.Devices = append(f.Devices, u.str())
		}
		list = append(list, f)
	}
	return list
}

func (p *packer) setHead(s *plan.Set) {
	p.str(s.Name)
	p.num(uint64(s.Type))
	p.bool(s.Interval)
	p.bool(s.Map)
	p.bool(s.Counted)
	p.str(s.Comment)
	p.num(uint64(s.Data))
	p.bool(s.Dynamic)
	p.bool(s.RunTime)
	p.num(uint64(s.Size))
	p.num(uint64(len(s.Concat)))
	for _, t := range s.Concat {
		p.num(uint64(t))
	}
}

func (p *packer) elements(s *plan.Set) {
	if len(s.Concat) > 0 {
		p.tuples(s)
		return
	}
	p.num(uint64(len(s.Elements)))
	for i := range s.Elements {
		e := &s.Elements[i]
		p.key(&e.From, s.Type)
		p.key(&e.To, s.Type)
		if s.Map {
			p.str(e.Goto)
			p.bool(e.Jump)
		}
		if s.Counted {
			p.str(e.Counter)
		}
	}
}

func (p *packer) tuples(s *plan.Set) {
	p.num(uint64(len(s.Tuples)))
	for i := range s.Tuples {
		e := &s.Tuples[i]
		p.b = append(append(p.b, e.From...), e.To...)
		if s.Map {
			p.str(e.Goto)
		}
		if s.Counted {
			p.str(e.Counter)
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
	for _, a := range r.Actions {
		p.action(a)
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
		r.Actions = append(r.Actions, u.action())
	}
	return r
}
