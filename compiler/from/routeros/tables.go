package routeros

import (
	"fmt"
	"slices"
	"strings"

	"pbr/compiler/from"
)

// table is a routing table in the making.
type table struct {
	name   string
	draft  *from.Table
	routes []*route
	// ways are the routes over uplinks.
	ways   []way
	by     []*statement
	strict bool
	// closes is the action of policies and rules that lead here, for a table that lets nothing
	// through and has no way; else empty.
	closes string
	// only reports that a rule looks here and nowhere else, so that it may not fall back to main.
	only bool
}

// collectTables sorts the routes into tables, in the order of the export.
func (b *builder) collectTables() {
	b.main = &table{draft: &from.Table{}}
	for _, r := range b.routes {
		t := b.main
		if r.table != "" {
			t = b.table(r.table)
		}
		t.routes = append(t.routes, r)
	}
}

// table returns the table of that name, which is made if it is not there.
func (b *builder) table(name string) *table {
	if t := b.tables[name]; t != nil {
		return t
	}
	t := &table{name: name, draft: &from.Table{}}
	b.tables[name] = t
	b.tableOrder = append(b.tableOrder, t)
	if s := b.declared[name]; s != nil {
		t.by = append(t.by, s)
	}
	return t
}

// tellEmptyTables reports the tables that are declared and then have neither a route nor a kill
// switch.
func (b *builder) tellEmptyTables() {
	for name, s := range b.declared {
		if b.tables[name] == nil {
			s.DropSevere("no route of the export is in this table: RouterOS falls back to main for what is sent to it, and so does pbr")
		}
	}
}

// fillTables makes the tables' routes: main's first, which others fall back to.
func (b *builder) fillTables() {
	b.clientRoutes()
	b.fill(b.main, "default")
	b.writeRoutes(b.main)
	if len(b.main.draft.Routes) > 0 {
		b.main.draft.Strict = b.main.strict
		b.main.draft.Origins = b.firstOf(b.main)
		b.draft.Default = b.main.draft
	}
	for _, t := range b.tableOrder {
		b.fill(t, "table "+t.draft.Name)
		if len(t.ways) == 0 && t.strict && len(b.lineOrder) > 0 { // it lets nothing through, and must not be missing
			b.close(t)
		}
		if len(t.ways) == 0 {
			delete(b.tables, t.name)
			for _, s := range t.by {
				s.DropSevere("no route of this table was carried over: what is sent to it uses default")
			}
			continue
		}
		t.draft.Strict = t.strict
		if !t.strict && !t.only {
			b.fallBack(t)
		}
		b.writeRoutes(t)
		if t.draft.Origins = b.origins(t.by); len(t.by) == 0 {
			t.draft.Origins = b.firstOf(t)
		}
		became := "table " + t.draft.Name
		if t.closes != "" {
			became = "action = " + from.Quote(t.closes)
		}
		for _, s := range t.by {
			s.Import(became)
		}
		b.draft.Tables = append(b.draft.Tables, t.draft)
	}
}

// close makes a table one that lets nothing through. Policies and rules say that by an action; the
// table is for balances.
func (b *builder) close(t *table) {
	t.closes = "unreachable"
	var first *route
	for _, r := range t.routes {
		if r.kind != "" && r.isDefault() && (first == nil || r.distance < first.distance) {
			first = r
		}
	}
	if first != nil && first.kind == "blackhole" {
		t.closes = "drop"
	}
	t.addRoute(from.ClosedRoute(b.lineOrder[0].Name), false)
}

// closing is the action of a table of the draft that lets nothing through, else empty.
func (b *builder) closing(name string) string {
	for _, t := range b.tables {
		if t.draft.Name == name {
			return t.closes
		}
	}
	return ""
}

// leaveOutClosed takes the tables away that let nothing through and that no balance leads to.
func (b *builder) leaveOutClosed() {
	b.draft.Tables = slices.DeleteFunc(b.draft.Tables, func(t *from.Table) bool {
		return b.closing(t.Name) != "" && !slices.ContainsFunc(b.draft.Balances, func(bal *from.Balance) bool {
			return slices.ContainsFunc(bal.Members, func(m from.Member) bool { return m.Table == t.Name })
		})
	})
}

// firstOf is where a table that nothing declares begins: its first route.
func (b *builder) firstOf(t *table) []from.Origin {
	for _, r := range t.routes {
		if len(r.st.Became) > 0 {
			return []from.Origin{{File: b.opts.File, Line: r.st.Line}}
		}
	}
	for _, cl := range b.clients {
		if t == b.main && cl.adds {
			return []from.Origin{{File: b.opts.File, Line: cl.st.Line}}
		}
	}
	return nil
}

// clientRoutes are the default routes that clients make.
func (b *builder) clientRoutes() {
	for _, cl := range b.clients {
		if !cl.adds {
			continue
		}
		b.main.addRoute(from.Route{Uplink: b.lines[cl.iface].Name, Distance: cl.distance, Comment: b.place(cl.st)}, cl.six)
		cl.st.Import("default")
	}
}

func (b *builder) place(s *statement) string {
	return strings.TrimSpace(fmt.Sprintf("%s:%d %s", b.opts.File, s.Line, from.Short(s.get("comment"), 60)))
}

// fill adds the export's routes to a table.
func (b *builder) fill(t *table, object string) {
	closed := 0
	for _, r := range t.routes {
		if r.kind != "" && r.isDefault() {
			t.strict = true
			if closed == 0 || r.distance < closed {
				closed = r.distance
			}
			r.st.Import(object)
		}
	}
	for _, r := range t.routes {
		switch {
		case r.kind != "" && r.isDefault():
		case r.kind != "":
			r.st.DropSevere(fmt.Sprintf("routes that lead nowhere stay in main: ip route add %s %s", r.kind, r.dst))
		case closed > 0 && r.isDefault() && r.distance >= closed:
			r.st.Drop("a route that leads nowhere comes before it")
		default:
			b.fillRoute(t, r, object)
		}
	}
}

func (b *builder) fillRoute(t *table, r *route, object string) {
	weights := map[string]int{}
	for _, text := range r.hops {
		hops, why := b.resolve(text, r, 0)
		if why != "" {
			r.st.DropSevere(why)
			continue
		}
		for i, h := range hops {
			if !slices.ContainsFunc(hops[:i], func(o hop) bool { return o.iface == h.iface }) {
				weights[h.iface]++
			}
		}
	}
	for _, text := range r.hops {
		hops, _ := b.resolve(text, r, 0)
		for _, h := range hops {
			b.fillHop(t, r, h, weights[h.iface], object)
		}
	}
	if len(r.hops) == 0 && !r.st.Accounted() {
		r.st.DropSevere("it names no gateway")
	}
}

func (b *builder) fillHop(t *table, r *route, h hop, weight int, object string) {
	l := b.lines[h.iface]
	switch {
	case t != b.main && !r.isDefault() && b.onLink(h, r):
		r.st.Merge("networks of main come before every table (main-first)")
		return
	case l == nil && t != b.main:
		r.st.DropSevere(fmt.Sprintf(
			"its gateway is among the clients of interface %s, and what arrives on an uplink is never "+
				"classified: give the gateway a VLAN of its own", h.iface))
		return
	case l == nil:
		via := h.iface
		if h.gateway.IsValid() {
			via = h.gateway.String() + " dev " + h.iface
			r.st.Drop(fmt.Sprintf("its gateway is in one of the router's own networks, not beyond an "+
				"uplink: keep it in main: ip route add %s via %s", r.dst, via))
			return
		}
		r.st.Drop(fmt.Sprintf("it leads to a network of the router's: keep it in main: ip route add %s dev %s", r.dst, via))
		return
	case h.gateway.IsValid() && l.gateway[index(r.six)].IsValid() && l.gateway[index(r.six)] != h.gateway:
		if !r.st.Accounted() {
			r.st.DropSevere(fmt.Sprintf("interface %s has another gateway, and an uplink has one", h.iface))
		}
		return
	}
	out := from.Route{Uplink: l.Name, Distance: max(r.distance, 1), Weight: min(weight, mostWeight), Comment: b.place(r.st)}
	if !r.isDefault() {
		out.Dst = r.dst.String()
	}
	t.addRoute(out, r.six)
	r.st.Import(object)
}

// way is a route over an uplink, of one IP version.
type way struct {
	from.Route
	six bool
}

// isDefault reports whether a way is a default route.
func (w way) isDefault() bool { return w.Dst == "" }

// addRoute adds a route, unless the table has one over that uplink to the same place: the nearer
// one counts.
func (t *table) addRoute(r from.Route, six bool) {
	for i := range t.ways {
		if o := &t.ways[i]; o.Uplink == r.Uplink && o.Dst == r.Dst && o.six == six {
			o.Distance = min(o.Distance, r.Distance)
			return
		}
	}
	t.ways = append(t.ways, way{r, six})
}

// writeRoutes writes the ways as routes. One without dst is for both IP versions.
func (b *builder) writeRoutes(t *table) {
	for i, w := range t.ways {
		if w.isDefault() {
			other := slices.IndexFunc(t.ways, func(o way) bool { return o.isDefault() && o.Uplink == w.Uplink && o.six != w.six })
			switch {
			case other >= 0 && t.ways[other].Distance == w.Distance && t.ways[other].Weight == w.Weight:
				if other < i {
					continue
				}
			case other >= 0 || b.carriesOther(w):
				w.Dst = map[bool]string{false: "0.0.0.0/0", true: "::/0"}[w.six]
			}
		}
		t.draft.Routes = append(t.draft.Routes, w.Route)
	}
}

// carriesOther reports whether a way's uplink carries the other IP version, too.
func (b *builder) carriesOther(w way) bool {
	return slices.ContainsFunc(b.lineOrder, func(l *line) bool { return l.Name == w.Uplink && l.carries[index(!w.six)] })
}

// fallBack adds main's default routes behind a table's own: RouterOS looks there when the table has
// no route.
func (b *builder) fallBack(t *table) {
	far := 0
	for _, w := range t.ways {
		far = max(far, w.Distance)
	}
	for _, w := range b.main.ways {
		if !w.isDefault() || slices.ContainsFunc(t.ways, func(o way) bool {
			return o.Uplink == w.Uplink &&
				o.isDefault() && o.six == w.six
		}) {
			continue
		}
		w.Distance, w.Comment = far+w.Distance, "main's, which RouterOS falls back to"
		t.ways = append(t.ways, w)
	}
}
