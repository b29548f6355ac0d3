package daemon

import (
	"cmp"
	"net/netip"
	"slices"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
)

// health is what the loop knows of the uplinks beyond the machine.
type health struct {
	// statuses are those of the last look, by uplink.
	statuses map[string]healthcheck.Status
	// down has the uplinks that are not to be used, in the order in which they went down.
	down compiler.Health
	// owed are the uplinks that died and whose connections have not been cut.
	owed map[string]*debt
	// left are uplinks that are no longer used, since the last change of the kernel.
	left map[string]bool
	// addrs are the last known addresses by uplink: those of a link that went down are gone when they are needed.
	addrs map[string][]netip.Addr
}

// debt is what is to be cut of a dead uplink, by families.
type debt struct {
	// Pinned are connections with the uplink's mark, Strict those with its mark for strict tables, Unmarked those of
	// default's primary uplink.
	Pinned   []plan.Family `json:"pinned,omitempty"`
	Strict   []plan.Family `json:"strict,omitempty"`
	Unmarked []plan.Family `json:"unmarked,omitempty"`
	// Moved are families in which a table, whose pinned connections the uplink carried, has gone to another uplink.
	Moved []plan.Family `json:"moved,omitempty"`
}

func (d *debt) empty() bool { return len(d.Pinned)+len(d.Strict)+len(d.Unmarked) == 0 }

func newHealth() *health {
	return &health{
		statuses: map[string]healthcheck.Status{}, down: compiler.Health{},
		owed: map[string]*debt{}, left: map[string]bool{}, addrs: map[string][]netip.Addr{},
	}
}

// take notes the uplinks' states and tells whether a plan could depend on what is new.
func (h *health) take(statuses []healthcheck.Status) (changed bool) {
	// Those that went down since the last look did so in the order of their time.
	byTime := slices.Clone(statuses)
	slices.SortStableFunc(byTime, func(a, b healthcheck.Status) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Uplink, b.Uplink))
	})
	old := h.statuses
	h.statuses = map[string]healthcheck.Status{}
	for _, s := range byTime {
		h.statuses[s.Uplink] = s
		before, known := old[s.Uplink]
		_, down := h.down[s.Uplink]
		switch {
		case s.State.Usable() && down:
			delete(h.down, s.Uplink)
			delete(h.left, s.Uplink)
			changed = true
		case !s.State.Usable() && !down:
			h.down[s.Uplink] = h.last() + 1
			h.left[s.Uplink] = true
			changed = true
		}
		switch {
		case s.State.Usable():
			delete(h.owed, s.Uplink)
		case s.State.Dead() && !(known && before.State.Dead()):
			h.owed[s.Uplink] = &debt{Pinned: plan.Families[:], Strict: plan.Families[:], Unmarked: plan.Families[:]}
			changed = true
		}
	}
	return h.forget() || changed
}

// forget drops uplinks that the monitor knows no more, and tells whether one of them was down.
func (h *health) forget() (changed bool) {
	for name := range h.down {
		if _, known := h.statuses[name]; !known {
			delete(h.down, name)
			changed = true
		}
	}
	for name := range h.owed {
		if _, known := h.statuses[name]; !known {
			delete(h.owed, name)
		}
	}
	return changed
}

// last is the number of the uplink that went down last; the numbers only have to be in order.
func (h *health) last() int {
	n := 0
	for _, order := range h.down {
		n = max(n, order)
	}
	return n
}

// learnAddresses notes the addresses that uplinks' interfaces have, by family: the old ones of a family stay known
// while there is no new one.
func (h *health) learnAddresses(doc *policy.Document, machine plan.Machine) {
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		addrs := slices.Clone(machine.Links[u.Interface].Addrs)
		for _, family := range plan.Families {
			of := func(a netip.Addr) bool { return a.Is4() == (family == plan.IPv4) }
			if !slices.ContainsFunc(addrs, of) {
				for _, a := range h.addrs[u.Name] {
					if of(a) {
						addrs = append(addrs, a)
					}
				}
			}
		}
		if len(addrs) > 0 {
			h.addrs[u.Name] = addrs
		}
	}
}

// noteMoves notes which dead uplinks a change of plans takes traffic from.
func (h *health) noteMoves(doc *policy.Document, have, want *plan.Plan) {
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		d := h.owed[u.Name]
		if d == nil {
			continue
		}
		for _, family := range plan.Families {
			if movedFrom(have, want, u, family) || fellBack(doc, have, want, u, family) {
				d.Moved = union(d.Moved, []plan.Family{family})
			}
		}
	}
}

// cuts lists the connections that may be deleted now, and takes them off what is owed; paid has what was taken off. A dead uplink
// that a table still uses, because it has no other left, keeps its connections: the verdict may be wrong. They are cut when
// a table that used it finds another.
func (h *health) cuts(doc *policy.Document, want *plan.Plan) (cuts []Cut, paid map[string]debt) {
	paid = map[string]debt{}
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		d := h.owed[u.Name]
		if d == nil {
			continue
		}
		var done debt
		for _, family := range plan.Families {
			if c := h.cut(u, family, d, want, &done); len(c.Marks)+len(c.Addrs) > 0 {
				cuts = append(cuts, c)
			}
		}
		if !done.empty() {
			paid[u.Name] = done
		}
		if d.empty() {
			delete(h.owed, u.Name)
		}
	}
	return cuts, paid
}

// cut is what may be deleted now of one uplink and family; it goes from owed to paid.
func (h *health) cut(u *policy.Uplink, family plan.Family, owed *debt, want *plan.Plan, paid *debt) Cut {
	byDefault, byOther := standing(want, u, family)
	moved := slices.Contains(owed.Moved, family)
	c := Cut{Family: family, Mask: want.Mask}
	pay := func(owed, paid *[]plan.Family) bool {
		if !slices.Contains(*owed, family) {
			return false
		}
		*owed = without(*owed, family)
		*paid = append(*paid, family)
		return carries(u, family)
	}
	mark, strict := Marks(want.Numbers, u.Name)
	if (moved || !byDefault && !byOther) && pay(&owed.Pinned, &paid.Pinned) {
		c.Marks = append(c.Marks, mark)
	}
	if pay(&owed.Strict, &paid.Strict) && strict != 0 {
		c.Marks = append(c.Marks, strict)
	}
	if !byDefault && pay(&owed.Unmarked, &paid.Unmarked) {
		c.Addrs = h.addresses(u, family)
	}
	return c
}

func carries(u *policy.Uplink, family plan.Family) bool {
	if family == plan.IPv4 {
		return u.Gateway.Present
	}
	return u.Gateway6.Present
}

// pins lists the connections to pin before want is sent: unmarked ones of an uplink that default leaves, unless it is dead and its
// connections are to be cut. Without a mark they would follow default to an uplink that their address is not of.
func (h *health) pins(doc *policy.Document, have, want *plan.Plan) []Pin {
	var pins []Pin
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		if !h.left[u.Name] || doc.Settings.CutOnFailover && h.owed[u.Name] != nil {
			continue
		}
		mark, _ := Marks(want.Numbers, u.Name)
		p := Pin{Mark: mark, Mask: want.Mask}
		for _, family := range plan.Families {
			before, _ := standing(have, u, family)
			if after, _ := standing(want, u, family); before && !after {
				p.Addrs = append(p.Addrs, h.addresses(u, family)...)
			}
		}
		if len(p.Addrs) > 0 {
			pins = append(pins, p)
		}
	}
	return pins
}

// Marks returns the marks of connections that are pinned to an uplink, and of those that came to it by a strict
// table; 0 if no strict table uses it.
func Marks(numbers []plan.Number, uplink string) (mark, strict uint32) {
	for _, n := range numbers {
		switch {
		case n.Uplink != uplink:
		case n.Strict:
			strict = n.Mark
		default:
			mark = n.Mark
		}
	}
	return mark, strict
}

// addresses are those of a family that connections through an uplink come from.
func (h *health) addresses(u *policy.Uplink, family plan.Family) (out []netip.Addr) {
	all := slices.Clone(h.addrs[u.Name])
	if nat := u.SourceNAT(family == plan.IPv6); nat.Mode == policy.NATAddress {
		all = append(all, nat.Addr)
	}
	for _, a := range all {
		if a.Is4() == (family == plan.IPv4) && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

func without(families []plan.Family, family plan.Family) []plan.Family {
	return slices.DeleteFunc(slices.Clone(families), func(f plan.Family) bool { return f == family })
}

func union(a, b []plan.Family) []plan.Family {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
