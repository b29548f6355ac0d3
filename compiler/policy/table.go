package policy

import (
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"strings"

	"pbr/compiler/policy/internal/tomltree"
)

// Bounds of a table's routes. A distance becomes the route's metric; 65535 and 0 are kept for
// pbr's own routes. A weight is one byte, less one, in rtnexthop (linux/rtnetlink.h).
const (
	maxDistance = 65534
	maxWeight   = 256
)

// table reads one [[table]].
func (p *parser) table(s *section) {
	t := Table{Pos: s.pos()}
	var pos Pos
	t.Name, pos = s.objectName("table", "to-isp2")
	if t.Name != "" {
		s.notReserved(t.Name, pos)
		first, isTable := p.tables[t.Name]
		uplink, isUplink := p.uplinks[t.Name]
		switch {
		case isTable:
			s.taken(t.Name, pos, "table", p.doc.Tables[first].Pos)
		case isUplink:
			s.errorAt(pos, codeDuplicateName, "name", "an uplink has a table of its own name: choose another",
				"the name %q is taken by the uplink at line %d", t.Name, p.doc.Uplinks[uplink].Pos.Line)
		default:
			p.tables[t.Name] = len(p.doc.Tables)
		}
	}
	s.tableRoutes(&t)
	s.tableNumbers(&t)
	p.doc.Tables = append(p.doc.Tables, t)
}

// defaultTable reads [default].
func (p *parser) defaultTable(s *section) {
	if s.present() {
		t := Table{Pos: s.pos(), Name: "default"}
		s.tableRoutes(&t)
		p.doc.Default = &t
	}
	s.done()
}

// tableRoutes reads what [[table]] and [default] have in common.
func (s *section) tableRoutes(t *Table) {
	t.CommonKeys = s.commonKeys()
	t.Strict = s.boolean("strict", false)
	t.OnReturn, t.Settle = s.onReturn()
	t.Prefer = s.prefer()
	if s.fields.Get("routes") == nil {
		s.missing("routes", requiredLists["routes"])
	}
	seen := map[routeID]Pos{}
	for n := range s.items("routes") {
		if n.Kind != tomltree.Table {
			s.wrongType("routes", n, `{ uplink = "isp1", distance = 1 }`)
			continue
		}
		r := s.route(n)
		for _, id := range r.ids() {
			if first, ok := seen[id]; ok {
				s.errorAt(r.Pos, codeRoute, "routes", "keep one of them", "uplink %q has a route to %s already, at line %d",
					r.Uplink, showDst(r.Dst), first.Line)
				break
			}
			seen[id] = r.Pos
		}
		t.Routes = append(t.Routes, r)
	}
}

// routeID is what a table can hold once.
type routeID struct {
	uplink string
	dst    netip.Prefix
}

var (
	default4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	default6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
)

// ids returns what a route is in each family.
func (r *Route) ids() []routeID {
	switch {
	case r.Uplink == "":
		return nil
	case r.Dst.IsValid():
		return []routeID{{r.Uplink, r.Dst}}
	}
	return []routeID{{r.Uplink, default4}, {r.Uplink, default6}}
}

func showDst(p netip.Prefix) string {
	if !p.IsValid() {
		return "everywhere"
	}
	return p.String()
}

// route reads one route of a table.
func (s *section) route(n *tomltree.Node) Route {
	t := s.p.section(n.Fields, s.key("routes"), s.title()+": route")
	r := Route{Pos: s.p.nodePos(n), Distance: 1, Weight: 1}
	name, pos := t.required("uplink", "isp1")
	var u *Uplink
	if i, ok := s.p.uplinks[name]; ok {
		u, r.Uplink = &s.p.doc.Uplinks[i], name
		t.label = fmt.Sprintf("%s: route over %q", s.title(), name)
	} else if pos.Line != 0 && !s.p.misnamed {
		t.errorAt(pos, codeUnknownName, "uplink", suggestName(name, s.p.uplinkNames(), ""), "there is no uplink %q", name)
	}
	distance, _ := t.integer("distance", 1, 1, maxDistance)
	r.CommonKeys = t.commonKeys()
	weight, _ := t.integer("weight", 1, 1, maxWeight)
	r.Distance, r.Weight = uint32(distance), int(weight)
	if dst, pos := t.str("dst"); pos.Line != 0 {
		if !t.routeDst(&r, u, dst, pos) {
			r.Uplink = "" // not to be taken for a default route
		}
	}
	t.done()
	return r
}

// routeDst reads a route's destination: a prefix, or one address. It reports whether there is one.
func (s *section) routeDst(r *Route, u *Uplink, v string, pos Pos) bool {
	dst, f := parseRange(v)
	if f != nil {
		s.fault(pos, "dst", f)
		return false
	}
	for n := 0; n <= dst.From.BitLen(); n++ {
		if p := netip.PrefixFrom(dst.From, n); p.Masked() == p && PrefixRange(p) == dst {
			r.Dst = p
			break
		}
	}
	if !r.Dst.IsValid() {
		s.errorAt(pos, codeBadValue, "dst", "write one route per prefix", "invalid dst %q: a range is not a prefix", v)
		return false
	}
	if u != nil && familyOf(dst.From)&u.families() == 0 {
		s.errorAt(pos, codeConflict, "dst", "", "dst is %s's, and the uplink carries only %s", familyOf(dst.From), u.families())
	}
	return true
}

// tableNumbers reads a table's fixed id and mark. Whether they fit with others is for roomForMarks.
func (s *section) tableNumbers(t *Table) {
	id, pos := s.integer("id", 0, 1, math.MaxUint32)
	t.ID, t.IDPos = uint32(id), pos
	if id >= 253 && id <= 255 {
		s.errorAt(pos, codeBadValue, "id", "choose another number", "id %d is the kernel's own table (default, main, local)", id)
	}
	mark, pos := s.integer("mark", 0, 1, math.MaxUint32)
	t.Mark, t.MarkPos = uint32(mark), pos
	if mask := s.p.doc.Settings.MarkMask; t.Mark&^mask != 0 {
		hint := "choose one within the mask"
		if inside := t.Mark & mask; inside != 0 {
			hint = fmt.Sprintf("write %#08x", inside)
		}
		s.errorAt(pos, codeForeignBits, "mark", hint, "mark %#08x has bits outside mark-mask %#08x", t.Mark, mask)
	}
}

// fixedNumbers reports fixed numbers that collide.
func (p *parser) fixedNumbers() {
	ids, marks := map[uint32]*Table{}, map[uint32]*Table{}
	for i := range p.doc.Tables {
		t := &p.doc.Tables[i]
		p.onlyOnce(ids, t.ID, t, "id", "%d", t.IDPos)
		p.onlyOnce(marks, t.Mark, t, "mark", "%#08x", t.MarkPos)
	}
}

// roomForMarks reports a mask with too few values.
func (p *parser) roomForMarks() {
	set := &p.doc.Settings
	variants := p.strictNumbers()
	need, have := len(p.doc.Uplinks)+len(p.doc.Tables)+variants, uint64(1)<<bits.OnesCount32(set.MarkMask)-1
	if uint64(need) <= have {
		return
	}
	width, plural := bits.Len(uint(need)), "s"
	if have == 1 {
		plural = ""
	}
	pos := set.MarkMaskPos
	if pos.Line == 0 {
		if n := len(p.doc.Tables); n > 0 {
			pos = p.doc.Tables[n-1].Pos
		} else {
			pos = p.doc.Uplinks[len(p.doc.Uplinks)-1].Pos
		}
	}
	p.errorf(pos, CodeMask, "pbr.mark-mask", fmt.Sprintf("at least %d bits are needed, as in mark-mask = %#08x",
		width, ^uint32(0)<<(32-width)),
		"mark-mask %#08x has room for %d mark%s, and the uplinks and tables need %d%s", set.MarkMask, have, plural, need,
		marksNeeded(len(p.doc.Uplinks), len(p.doc.Tables), variants))
}

// marksNeeded says what marks are for, if it is not uplinks alone.
func marksNeeded(uplinks, tables, variants int) string {
	var parts []string
	add := func(n int, one, several string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, several))
		}
	}
	add(uplinks, "uplink", "uplinks")
	add(tables, "table", "tables")
	add(variants, "more for strict or on-return", "more for strict or on-return")
	if len(parts) < 2 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// onlyOnce reports a fixed number that another table has.
func (p *parser) onlyOnce(seen map[uint32]*Table, n uint32, t *Table, key, format string, pos Pos) {
	if n == 0 {
		return
	}
	if first := seen[n]; first != nil {
		p.errorf(pos, codeNumber, "table."+key, "", "table %q: %s %s is that of table %q at line %d", t.Name, key,
			fmt.Sprintf(format, n), first.Name, first.Pos.Line)
		return
	}
	seen[n] = t
}

// strictNumbers counts the marks of strict variants: one for each uplink that strict tables and
// policies use, for connections that must not leave through another uplink, one for each table that
// is strict for a policy alone, one for what policies make unreachable, and one for what they drop.
func (p *parser) strictNumbers() int {
	used := map[string]bool{}
	add := func(t *Table) {
		if t.Strict {
			for _, r := range t.Routes {
				used[r.Uplink] = true
			}
		}
	}
	for i := range p.doc.Tables {
		add(&p.doc.Tables[i])
	}
	if p.doc.Default != nil {
		add(p.doc.Default)
	}
	for _, name := range StrictUplinks(p.doc) {
		used[name] = true
	}
	n := len(used) + len(StrictVariants(p.doc)) + returnNumbers(p.doc)
	if MakesUnreachable(p.doc) {
		n++
	}
	if Drops(p.doc) {
		n++
	}
	return n
}
