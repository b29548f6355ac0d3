package daemon

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
	"pbr/healthcheck"
)

// health is what the loop knows of the uplinks besides the host facts.
type health struct {
	// statuses are the last known statuses.
	statuses map[compiler.UplinkVersion]healthcheck.Status
	// down has the uplinks that must not be used, in the order in which they went down, and the
	// doubtful ones.
	down compiler.Health
	// pending has the uplinks that failed and whose connections have not been flushed.
	pending map[compiler.UplinkVersion]*pendingFlush
	// stopped has the uplinks that are no longer used, since the kernel's last change.
	stopped map[compiler.UplinkVersion]bool
	// addrs are the last known addresses by uplink: a link that went down has lost them when they
	// are needed.
	addrs map[string][]netip.Addr
	// usable has the uplinks that became usable, until all connections have moved back to them.
	usable map[compiler.UplinkVersion]*recovered
	// choices are the quickest uplinks of tables that prefer the quickest.
	choices map[group]*choice
	// renumbered has uplinks' old addresses that were replaced, and whose connections have not been
	// flushed.
	renumbered map[compiler.UplinkVersion][]netip.Addr
}

// pendingFlush says which connections of a failed uplink have to be flushed.
type pendingFlush struct {
	// Pinned are connections with the uplink's mark, Strict those with its mark for strict tables,
	// Unmarked those of default's primary uplink.
	Pinned   bool `json:"pinned,omitempty"`
	Strict   bool `json:"strict,omitempty"`
	Unmarked bool `json:"unmarked,omitempty"`
	// Left are those of default's primary uplink, by their route: they are known once default leads
	// elsewhere.
	Left bool `json:"left,omitempty"`
	// Moved means that a table whose pinned connections used the uplink has moved to another
	// uplink.
	Moved bool `json:"moved,omitempty"`
}

func (d *pendingFlush) empty() bool { return !d.Pinned && !d.Strict && !d.Unmarked && !d.Left }

// add merges another pendingFlush.
func (d *pendingFlush) add(o pendingFlush) {
	d.Pinned, d.Strict = d.Pinned || o.Pinned, d.Strict || o.Strict
	d.Unmarked, d.Left, d.Moved = d.Unmarked || o.Unmarked, d.Left || o.Left, d.Moved || o.Moved
}

func newHealth() *health {
	return &health{
		statuses: map[compiler.UplinkVersion]healthcheck.Status{}, down: compiler.Health{},
		pending: map[compiler.UplinkVersion]*pendingFlush{}, stopped: map[compiler.UplinkVersion]bool{}, addrs: map[string][]netip.Addr{},
		renumbered: map[compiler.UplinkVersion][]netip.Addr{}, usable: map[compiler.UplinkVersion]*recovered{},
		choices: map[group]*choice{},
	}
}

// keyOf converts the monitor's key of an uplink and version.
func keyOf(l healthcheck.UplinkVersion) compiler.UplinkVersion {
	return compiler.UplinkVersion{Uplink: l.Uplink, Family: plan.Family(l.Version)}
}

// take records the uplinks' states and reports whether they can change the plan.
func (h *health) take(statuses []healthcheck.Status) (changed bool) {
	// Those that went down since the last look did so in the order of their time.
	byTime := slices.Clone(statuses)
	sorting.Func(byTime, func(a, b healthcheck.Status) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Uplink, b.Uplink), cmp.Compare(a.Version, b.Version))
	})
	old := h.statuses
	h.statuses = map[compiler.UplinkVersion]healthcheck.Status{}
	for _, s := range byTime {
		uv := keyOf(s.UplinkVersion)
		h.statuses[uv] = s
		changed = h.takeDown(uv, s) || changed
		before, known := old[uv]
		h.takeUsable(uv, s.State, known && before.State.Usable())
		changed = h.notePending(uv, s, known && before.Dead(), known && before.State == s.State) || changed
	}
	changed = h.forget() || changed
	h.takeOrders()
	return changed
}

// noteNew records the states of unknown uplinks, and that a version is absent, which no event
// reports.
func (h *health) noteNew(statuses []healthcheck.Status) {
	for _, s := range statuses {
		if _, known := h.statuses[keyOf(s.UplinkVersion)]; !known || s.State == healthcheck.Absent {
			h.statuses[keyOf(s.UplinkVersion)] = s
		}
		h.takeUsable(keyOf(s.UplinkVersion), s.State, false) // -- connections of the last run may have to move back
	}
}

// takeDown records whether an uplink may be used, and reports whether that can change the plan. An
// absent version is unused because there is no route for it.
func (h *health) takeDown(uv compiler.UplinkVersion, s healthcheck.Status) (changed bool) {
	order := h.down[uv]
	switch {
	case s.State == healthcheck.Unconfirmed:
		h.down[uv] = compiler.Doubtful
		delete(h.stopped, uv)
		return order != compiler.Doubtful
	case s.State.Usable() || s.State == healthcheck.Absent:
		delete(h.down, uv)
		delete(h.stopped, uv)
		return order != 0
	case s.Closed:
		h.down[uv] = compiler.Spent
		h.stopped[uv] = h.stopped[uv] || order == 0 || order == compiler.Doubtful
		return order != compiler.Spent
	case order <= 0:
		h.down[uv] = h.last() + 1
		h.stopped[uv] = true
		return true
	}
	return false
}

// takeUsable records when an uplink became usable: after a time, connections on a worse one move
// back.
func (h *health) takeUsable(uv compiler.UplinkVersion, s healthcheck.State, was bool) {
	switch {
	case !s.Usable():
		delete(h.usable, uv)
	case !was:
		h.usable[uv] = &recovered{since: time.Now()}
	}
}

// notePending records which connections of an uplink have to be flushed, and reports whether that
// can change the plan.
func (h *health) notePending(uv compiler.UplinkVersion, s healthcheck.Status, wasDead, same bool) (changed bool) {
	switch {
	case s.State == healthcheck.Unconfirmed && !same:
		h.pending[uv] = &pendingFlush{Strict: true}
		return true
	case s.State == healthcheck.Unconfirmed:
	case s.State.Usable():
		delete(h.pending, uv)
	case s.Dead() && !wasDead:
		h.pending[uv] = &pendingFlush{Pinned: true, Strict: true, Unmarked: true, Left: true}
		return true
	}
	return false
}

// forget drops uplinks that the monitor no longer has, and reports whether one of them was down.
func (h *health) forget() (changed bool) {
	for uv := range h.down {
		of := compiler.UplinkVersion{Uplink: uv.Uplink, Family: uv.Family}
		if _, known := h.statuses[of]; !known && !h.underOrder(of) {
			delete(h.down, uv)
			changed = true
		}
	}
	for uv := range h.pending {
		if _, known := h.statuses[uv]; !known {
			delete(h.pending, uv)
		}
	}
	return changed
}

// last returns the number of the uplink that went down last; the numbers only have to be in order.
func (h *health) last() int {
	n := 0
	for _, order := range h.down {
		n = max(n, order)
	}
	return n
}

// learnAddresses records the addresses of uplinks' interfaces, by family: the old ones of a family
// stay known until there is a new one. Connections of an old address that a new one replaced cannot
// work any more.
func (h *health) learnAddresses(doc *policy.Document, host plan.HostFacts) {
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		now := host.Links[u.Interface].Addrs
		addrs := slices.Clone(now)
		for _, family := range plan.Families {
			of := func(a netip.Addr) bool { return plan.FamilyOf(a) == family }
			uv := compiler.UplinkVersion{Uplink: u.Name, Family: family}
			renewed := slices.ContainsFunc(now, of)
			for _, a := range h.addrs[u.Name] {
				switch {
				case !of(a) || slices.Contains(now, a) || renewed && sharedWith(u, a):
				case renewed:
					h.renumbered[uv] = append(h.renumbered[uv], a)
				default:
					addrs = append(addrs, a)
				}
			}
			h.renumbered[uv] = slices.DeleteFunc(h.renumbered[uv], func(a netip.Addr) bool { return slices.Contains(now, a) })
		}
		if len(addrs) > 0 {
			h.addrs[u.Name] = addrs
		}
	}
}

// renumberings returns the connections of replaced addresses, and forgets these. An address that
// another link has now is not gone.
func (h *health) renumberings(doc *policy.Document, host plan.HostFacts, want *plan.Plan) (flushes []Flush) {
	for uv, addrs := range h.renumbered {
		addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool {
			for _, link := range host.Links {
				if slices.Contains(link.Addrs, a) {
					return true
				}
			}
			return false
		})
		if u := doc.Uplink(uv.Uplink); u != nil && len(addrs) > 0 && compiler.Carries(u, uv.Family) {
			pinned, strict := plan.PinnedMarks(want.Numbers, u.Name)
			flushes = append(flushes, Flush{Family: uv.Family, Mask: want.NumberMask(), Addrs: addrs,
				AddrMarks: slices.Concat([]uint32{0}, pinned, strict)})
		}
		delete(h.renumbered, uv)
	}
	return flushes
}

// noteMoves records which failed uplinks a change of plans takes traffic from.
func (h *health) noteMoves(doc *policy.Document, have, want *plan.Plan) {
	for uv, d := range h.pending {
		u := doc.Uplink(uv.Uplink)
		if u != nil && (len(compiler.MovedTables(have, want, u, uv.Family)) > 0 ||
			len(compiler.FellBack(doc, have, want, u, uv.Family)) > 0) {
			d.Moved = true
		}
	}
}

// flushes returns the connections to delete now and marks them as taken. A failed uplink that a
// table still uses, because it has no other, keeps its connections: the check may be wrong. They
// are flushed when such a table finds another uplink.
func (h *health) flushes(doc *policy.Document, want *plan.Plan) (flushes []Flush, taken map[compiler.UplinkVersion]pendingFlush) {
	taken = map[compiler.UplinkVersion]pendingFlush{}
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		for _, family := range plan.Families {
			uv := compiler.UplinkVersion{Uplink: u.Name, Family: family}
			d := h.pending[uv]
			if d == nil {
				continue
			}
			var done pendingFlush
			if c := h.flushOf(doc, u, family, d, want, &done); len(c.Marks)+len(c.Addrs) > 0 || c.Left != nil {
				flushes = append(flushes, c)
			}
			if !done.empty() {
				taken[uv] = done
			}
			if d.empty() {
				delete(h.pending, uv)
			}
		}
	}
	return flushes, taken
}

// flushOf returns what to flush now of one uplink; it moves from pending to taken.
func (h *health) flushOf(doc *policy.Document, u *policy.Uplink, family plan.Family, pending *pendingFlush, want *plan.Plan,
	taken *pendingFlush) Flush {
	byDefault, byOther := compiler.RoutedBy(want, u, family)
	c := Flush{Family: family, Mask: want.NumberMask()}
	pay := func(pending, taken *bool) bool {
		was := *pending
		*pending, *taken = false, *taken || was
		return was && compiler.Carries(u, family)
	}
	pinned, strict := plan.PinnedMarks(want.Numbers, u.Name)
	if (pending.Moved || !byDefault && !byOther) && pay(&pending.Pinned, &taken.Pinned) {
		c.Marks = append(c.Marks, pinned...)
	}
	if pay(&pending.Strict, &taken.Strict) {
		c.Marks = append(c.Marks, strict...)
	}
	if !byDefault && pay(&pending.Unmarked, &taken.Unmarked) {
		c.Addrs = h.addresses(u, family)
	}
	if unmarked := unmarkedOf(doc, u, family, want); !byDefault && (unmarked == nil || leads(want, unmarked)) &&
		pay(&pending.Left, &taken.Left) {
		c.Left = unmarked
	}
	return c
}

// unmarkedOf selects the unmarked connections of an uplink; nil if it is not the one whose
// connections default leaves unmarked.
func unmarkedOf(doc *policy.Document, u *policy.Uplink, family plan.Family, want *plan.Plan) *Unmarked {
	if first := compiler.LowestOfDefault(doc); first == nil || first.Name != u.Name || !compiler.Carries(u, family) {
		return nil
	}
	for _, n := range want.Numbers {
		if n.Name == plan.DefaultName {
			return &Unmarked{Family: family, Table: n.Table, Interface: u.Interface, Strict: doc.Default.Strict}
		}
	}
	return nil
}

// leads reports whether packets of default have any route, or none by intent.
func leads(want *plan.Plan, u *Unmarked) bool {
	return u.Strict || slices.ContainsFunc(want.Routes, func(r plan.Route) bool {
		return r.Family == u.Family && r.Table == u.Table && len(r.Hops) > 0
	})
}

// pins returns the connections to pin before want is sent: unmarked ones of an uplink that default
// leaves, unless it has failed and its connections are to be flushed. Without a mark they would
// follow default to an uplink that cannot use their address.
func (h *health) pins(doc *policy.Document, have, want *plan.Plan) []Pin {
	var pins []Pin
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		mark := plan.PinnedMark(want.Numbers, u.Name)
		p := Pin{Mark: mark, Mask: want.Mask}
		for _, family := range plan.Families {
			uv := compiler.UplinkVersion{Uplink: u.Name, Family: family}
			if !h.stopped[uv] || doc.Settings.FlushOnFailover && h.pending[uv] != nil {
				continue
			}
			before, _ := compiler.RoutedBy(have, u, family)
			if after, _ := compiler.RoutedBy(want, u, family); before && !after {
				p.Addrs = append(p.Addrs, h.addresses(u, family)...)
				if unmarked := unmarkedOf(doc, u, family, have); unmarked != nil {
					p.Leaving = append(p.Leaving, *unmarked)
				}
			}
		}
		if len(p.Addrs)+len(p.Leaving) > 0 {
			pins = append(pins, p)
		}
	}
	return pins
}

// addresses returns the addresses of a family that connections through an uplink use.
func (h *health) addresses(u *policy.Uplink, family plan.Family) (out []netip.Addr) {
	all := slices.Clone(h.addrs[u.Name])
	if nat := u.SourceNAT(family == plan.IPv6); nat.Mode == policy.NATAddress {
		all = append(all, nat.Addr)
	}
	for _, a := range all {
		if plan.FamilyOf(a) == family && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
