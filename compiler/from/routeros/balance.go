package routeros

import (
	"slices"

	"pbr/compiler/from"
	"pbr/compiler/sorting"
)

// policyItem is a policy in the making.
type policyItem struct {
	cond *cond
	// target is a table, empty for default; balance, if there is one, has several.
	target  string
	balance *from.Balance
	by      []*statement
	late    bool
	// version reports that it is for one IP version.
	version bool
	// users are the lists of users that it was for, or that it omitted.
	users []string
}

// deal turns entries into policies: those that deal connections out become balances, and lists of
// users what keeps them.
func (b *builder) deal(list []entry) []policyItem {
	d := &dealer{b: b, kept: map[string]*policyItem{}, seen: map[string]bool{}}
	for _, e := range list {
		d.add(e)
	}
	d.trim()
	for len(d.todo) > 0 {
		d.next()
	}
	d.leftovers()
	return d.trimmed()
}

// dealer works through entries.
type dealer struct {
	b    *builder
	todo []policyItem
	done []policyItem
	// kept are the entries for users that are remembered, by their list.
	kept map[string]*policyItem
	used map[string]bool
	seen map[string]bool
}

// add takes an entry in: its mark becomes a table, lists of users are set aside.
func (d *dealer) add(e entry) {
	item := policyItem{cond: e.cond, by: dedupe(e.by), late: e.late}
	if !e.keep {
		name, ok := d.b.target(e.mark)
		if !ok {
			for _, s := range item.by {
				if s.has("action", "mark-routing") {
					s.DropSevere("no route of the table " + e.mark + " was carried over, so its packets use main")
				}
			}
		}
		item.target = name
	}
	key := e.cond.text()
	if d.seen[key] || !e.cond.possible(d.b.lists) {
		return // an earlier entry takes exactly these, or there are none
	}
	d.seen[key] = true
	src := e.cond.keys[keySrc]
	if src == nil {
		d.todo = append(d.todo, item)
		return
	}
	plain := *e.cond
	plain.keys[keySrc] = nil
	if len(src.pos) == 1 && d.learned(src.pos[0]) && !slices.ContainsFunc(src.neg, func(n string) bool { return !d.learned(n) }) {
		item.cond = &plain
		item.users = src.pos
		if have := d.kept[src.pos[0]]; have == nil {
			d.kept[src.pos[0]] = &item
		} else if !have.cond.covers(&plain) {
			d.todo = append(d.todo, item) // leftovers tells of it
		}
		return
	}
	left := &sel{pos: src.pos}
	for _, n := range src.neg {
		if d.learned(n) {
			item.users = append(item.users, n)
		} else {
			left.neg = append(left.neg, n)
		}
	}
	if len(item.users) > 0 {
		if len(left.pos)+len(left.neg) > 0 {
			plain.keys[keySrc] = left
		}
		item.cond = &plain
	}
	d.todo = append(d.todo, item)
}

// learned reports whether an address is a list that rules fill.
func (d *dealer) learned(v string) bool {
	return v[0] == '@' && d.b.lists[v[1:]] == nil && len(d.b.learned[v[1:]]) > 0
}

func dedupe(by []*statement) (out []*statement) {
	for _, s := range by {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	sorting.Func(out, func(x, y *statement) int { return x.Line - y.Line })
	return out
}

// trim omits what stands behind everything and leads to default.
func (d *dealer) trim() {
	for len(d.todo) > 0 && d.todo[len(d.todo)-1].target == "" && d.todo[len(d.todo)-1].cond.class == nil {
		d.todo = d.todo[:len(d.todo)-1]
	}
}

func (d *dealer) trimmed() []policyItem {
	for len(d.done) > 0 && d.done[len(d.done)-1].target == "" && d.done[len(d.done)-1].balance == nil {
		d.done = d.done[:len(d.done)-1]
	}
	return d.done
}

// next takes the first entry, with all that share its connections.
func (d *dealer) next() {
	first := d.todo[0]
	if first.cond.class == nil {
		d.todo = d.todo[1:]
		d.done = append(d.done, first)
		return
	}
	group := d.take()
	if !d.b.hasMain() && slices.ContainsFunc(group.members, func(g policyItem) bool { return g.target == "" }) {
		for _, g := range group.members {
			for _, s := range g.by {
				s.DropSevere("some of its connections use main, which has no default route in the export")
			}
		}
		return
	}
	plain := *first.cond
	plain.class = nil
	first.cond = &plain
	first.by = nil
	for _, g := range group.members {
		first.by = dedupe(append(first.by, g.by...))
		first.users = append(first.users, g.users...)
		first.late = first.late || g.late
	}
	d.rest(group, first)
	members := group.weights()
	for i := range members {
		if members[i].Table == "" {
			members[i].Table = d.b.mainAsTable()
		}
	}
	if len(members) == 1 {
		first.target = group.members[0].target
		d.done = append(d.done, first)
		return
	}
	first.target = ""
	first.balance = &from.Balance{Method: "round-robin", Members: members}
	if c := group.members[0].cond.class; !c.nth {
		first.balance.Method, first.balance.Hash = "hash", hashes.Get()[c.fields]
	}
	d.stick(&first)
	d.done = append(d.done, first)
}

// rest deals out what no bucket has: to default, where no later rule is for it.
func (d *dealer) rest(g *dealt, item policyItem) {
	if g.left < 1e-9 {
		return
	}
	how := "some of its buckets have no rule: their share goes to later rules in RouterOS, and to the other members here"
	if d.passes(item.cond, d.todo) && d.b.hasMain() {
		g.add(policyItem{cond: item.cond}, g.left)
		how = "some of its buckets have no rule: their share is default's, by a table with the same routes"
	}
	for _, s := range item.by {
		s.Change(how)
	}
}

func (b *builder) hasMain() bool {
	return slices.ContainsFunc(b.main.ways, way.isDefault)
}

// share is a bucket's part of the connections: over of total.
type share struct {
	target string
	over   float64
}

// dealt are entries that deal the same connections out.
type dealt struct {
	members []policyItem
	shares  []share
	// left is the part that nobody has.
	left float64
}

// take takes the first entry and those that belong to it out of todo.
func (d *dealer) take() *dealt {
	g := &dealt{left: 1}
	first := d.todo[0]
	for len(d.todo) > 0 && g.left > 1e-9 {
		c := d.todo[0].cond
		if !c.sameKeys(first.cond) || c.class != nil && (c.class.nth != first.cond.class.nth || c.class.fields != first.cond.class.fields) {
			break
		}
		if c.class == nil { // the rest is whoever comes here
			g.add(d.todo[0], g.left)
			g.left = 0
			d.todo = d.todo[1:]
			break
		}
		if len(g.members) > 0 && !c.class.nth && c.class.n != first.cond.class.n {
			break
		}
		if !d.takeRound(g) {
			break
		}
	}
	return g
}

// takeRound takes all buckets of one modulus; each has its part of what is left.
func (d *dealer) takeRound(g *dealt) bool {
	first, left, seen := d.todo[0], g.left, map[int]bool{}
	var rest []policyItem
	for _, item := range d.todo {
		c := item.cond
		mine := c.sameKeys(first.cond) && c.class != nil && c.class.n == first.cond.class.n &&
			c.class.nth == first.cond.class.nth && c.class.fields == first.cond.class.fields
		switch {
		case !mine || !d.passes(c, rest):
			rest = append(rest, item)
		case !seen[c.class.at]:
			seen[c.class.at] = true
			g.add(item, left/float64(c.class.n))
			g.left -= left / float64(c.class.n)
		default: // a bucket twice: the first one has it
			g.members[len(g.members)-1].by = append(g.members[len(g.members)-1].by, item.by...)
		}
	}
	d.todo = rest
	return len(seen) > 0
}

// passes reports whether an entry can stand before the others without taking packets of theirs.
func (d *dealer) passes(c *cond, others []policyItem) bool {
	plain := *c
	plain.class = nil
	for _, o := range others {
		if _, j := plain.and(o.cond, d.b.config.lists); j != never {
			return false
		}
	}
	return true
}

func (g *dealt) add(item policyItem, part float64) {
	g.members = append(g.members, item)
	for i := range g.shares {
		if g.shares[i].target == item.target {
			g.shares[i].over += part
			return
		}
	}
	g.shares = append(g.shares, share{item.target, part})
}

// mostWeight is the largest weight of a member.
const mostWeight = 256

// weights are the members with the smallest whole weights that keep their shares.
func (g *dealt) weights() (out []from.Member) {
	for total := 1; total <= mostBuckets; total++ {
		out = out[:0]
		whole, sum := true, 0.0
		for _, s := range g.shares {
			sum += s.over
		}
		for _, s := range g.shares {
			w := s.over / sum * float64(total)
			n := int(w + 0.5)
			if diff := w - float64(n); diff > 1e-6 || diff < -1e-6 || n < 1 || n > mostWeight {
				whole = false
			}
			out = append(out, from.Member{Table: s.target, Weight: min(max(n, 1), mostWeight)})
		}
		if whole {
			return out
		}
	}
	return out
}

// stick makes a balance remember users, where lists do that.
func (d *dealer) stick(item *policyItem) {
	for _, name := range d.names() {
		kept := d.kept[name]
		if d.used[name] || !kept.cond.sameKeys(item.cond) ||
			!slices.ContainsFunc(item.balance.Members, func(m from.Member) bool { return m.Table == kept.target }) {
			continue
		}
		if d.used == nil {
			d.used = map[string]bool{}
		}
		d.used[name] = true
		item.by = dedupe(append(item.by, kept.by...))
		for _, s := range d.b.learned[name[1:]] {
			seconds, ok := duration(s.get("address-list-timeout"))
			if !ok || seconds < 1 || seconds > mostSticky {
				s.Change("a balance remembers a client for 49 days at most")
				seconds = mostSticky
			}
			if text := durationText(seconds); item.balance.Sticky == "" {
				item.balance.Sticky = text
			} else if item.balance.Sticky != text {
				s.Change("a balance remembers all of its clients for " + item.balance.Sticky)
			}
			item.by = dedupe(append(item.by, s))
		}
	}
}

// mostSticky is the longest time that a balance remembers a client, in seconds.
const mostSticky = 49 * 86400

func (d *dealer) names() (out []string) {
	for name := range d.kept {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// leftovers tells of lists of users that no balance remembers.
func (d *dealer) leftovers() {
	for _, name := range d.names() {
		if d.used[name] {
			continue
		}
		for _, s := range d.kept[name].by {
			s.DropSevere("the address list " + name[1:] + " is filled while the router runs, and no balance has its users as a member")
		}
	}
	var left []policyItem
	for _, item := range d.done {
		lost := slices.IndexFunc(item.users, func(u string) bool { return item.balance == nil || !d.used[u] })
		if lost < 0 {
			left = append(left, item)
			continue
		}
		for _, s := range item.by {
			s.DropSevere("it selects by the address list " + item.users[lost][1:] + ", which is filled while the router runs")
		}
	}
	d.done = left
}

// mainAsTable is a table with main's default routes.
func (b *builder) mainAsTable() string {
	if b.copyOfMain == nil {
		t := &table{draft: &from.Table{Name: b.names.Give("main-routes"), Origins: b.main.draft.Origins}}
		for _, w := range b.main.ways {
			if w.isDefault() {
				t.ways = append(t.ways, w)
			}
		}
		b.writeRoutes(t)
		b.copyOfMain = t.draft
		b.draft.Tables = append(b.draft.Tables, t.draft)
	}
	return b.copyOfMain.Name
}
