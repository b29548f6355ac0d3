package compiler

import (
	"cmp"
	"hash/fnv"
	"math/bits"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
)

// firstTable is the id of the default table; the table of number n is firstTable + n. Distributions
// use ids up to 255, and people up to a few thousand; 112 is pbr's routing protocol number.
const firstTable = 112000

// maxNumbers bounds the numbers given out from a very wide mask, so that ids stay readable.
const maxNumbers = 1<<20 - 1

// allBits is the mask that has all bits.
const allBits = 0xffffffff

// strictSuffix names the strict variant of a table: the second pinned table of an uplink, for
// connections that arrived on a strict table or policy and must not fall through, and that of a
// [[table]] which a strict policy balances over. A user's name cannot contain "/".
const strictSuffix = "/strict"

// unreachableName is the table of what policies make unreachable, dropName that of what they drop:
// they have no routes but such.
const (
	unreachableName = "strict/unreachable"
	dropName        = "action/drop"
)

// numbers has every routing table with its id and mark, by name.
type numbers struct {
	byName map[string]plan.Number
	// inside is the plan's Inside.
	inside uint32
	// needed is how many marks there are.
	needed int
}

// Crowding is what keeps ct marks from saying which side opened a connection: the numbers leave no
// bit of the mask for it.
type Crowding struct {
	// Bit is the mask's highest one.
	Bit uint32
	// Needed is how many numbers there are, Room how many would leave the bit.
	Needed, Room int
	// Wider is the mask with one bit more, next to its own.
	Wider uint32
}

// Crowded returns that; ok is false if there is a bit.
func Crowded(doc *policy.Document) (c Crowding, ok bool) {
	n := giveNumbers(doc)
	if n == nil || n.inside != 0 {
		return c, false
	}
	mask := doc.Settings.MarkMask
	return Crowding{Bit: highestBit(mask), Needed: n.needed, Room: int(capacity(mask &^ highestBit(mask))), Wider: wider(mask)}, true
}

// wider is mask with the free bit below its lowest one, or else with the lowest free bit.
func wider(mask uint32) uint32 {
	if below := mask & -mask >> 1; below != 0 {
		return mask | below
	}
	return mask | (mask + 1)
}

func highestBit(mask uint32) uint32 { return 1 << (bits.Len32(mask) - 1) }

func (n *numbers) mark(name string) uint32  { return n.byName[name].Mark }
func (n *numbers) table(name string) uint32 { return n.byName[name].Table }

func (n *numbers) list() []plan.Number {
	list := make([]plan.Number, 0, len(n.byName))
	for _, number := range n.byName {
		list = append(list, number)
	}
	sorting.Func(list, func(a, b plan.Number) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// giveNumbers chooses each table's number from its name, so that it is the same on every machine
// and does not depend on the others: names are hashed into the mask's values. Where two names meet,
// the earlier one in the alphabet keeps the place and the other tries its next one; a name that has
// its first choice is never moved by one that has not. It returns nil if the mask has too few
// values.
func giveNumbers(doc *policy.Document) *numbers {
	mask := doc.Settings.MarkMask
	n := &numbers{byName: map[string]plan.Number{}}
	n.nameTables(doc)
	pending, taken, ids := n.unnumbered(mask)
	past := passesRules(doc)
	needed := len(pending) + len(taken)
	if past {
		needed++
	}
	if needed > int(capacity(mask)) {
		return nil
	}
	n.needed, n.inside = needed, spareBit(mask, needed, taken)
	places := places{all: capacity(mask), used: capacity(mask &^ n.inside)}
	n.setMarks(places.choose(pending, taken), mask)
	n.setTables(mask, ids)
	n.setInterfaces(doc)
	if doc.Default != nil || past {
		n.byName[plan.DefaultName] = plan.Number{Name: plan.DefaultName, Table: freeTable(0, ids)}
	}
	if past {
		// Chosen last, so that it moves nobody else's.
		n.setMarks(places.choose([]string{plan.DefaultName}, taken), mask)
	}
	return n
}

// nameTables has n know every table but default's, with what the policy fixes of it.
func (n *numbers) nameTables(doc *policy.Document) {
	add := func(number plan.Number) { n.byName[number.Name] = number }
	for i := range doc.Tables {
		t := &doc.Tables[i]
		add(plan.Number{Name: t.Name, Mark: t.Mark, Table: t.ID})
	}
	for i := range doc.Uplinks {
		add(plan.Number{Name: doc.Uplinks[i].Name, Uplink: doc.Uplinks[i].Name})
	}
	for _, name := range strictUplinks(doc) {
		add(plan.Number{Name: name + strictSuffix, Uplink: name, Strict: true})
	}
	for _, t := range policy.StrictVariants(doc) {
		add(plan.Number{Name: t.Name + strictSuffix, Strict: true})
	}
	if policy.MakesUnreachable(doc) {
		add(plan.Number{Name: unreachableName, Strict: true})
	}
	if policy.Drops(doc) {
		add(plan.Number{Name: dropName, Strict: true})
	}
	for _, r := range policy.Returns(doc) {
		if r.Variant && n.byName[r.Name].Name == "" {
			add(plan.Number{Name: r.Name, Strict: r.Table.Strict})
		}
	}
	for _, f := range policy.Fallbacks(doc) {
		add(plan.Number{Name: f.Uplink + fallbackSuffix(f.Strict), Uplink: f.Uplink, Strict: f.Strict, Fallback: true})
	}
}

// unnumbered returns the tables that have no number yet, the numbers that the others have, and the
// ids that are fixed.
func (n *numbers) unnumbered(mask uint32) (pending []string, taken, ids map[uint32]bool) {
	taken, ids = map[uint32]bool{}, map[uint32]bool{}
	for name, number := range n.byName {
		ids[number.Table] = true
		if number.Mark == 0 {
			pending = append(pending, name)
			continue
		}
		taken[extract(number.Mark, mask)] = true
	}
	return pending, taken, ids
}

func (n *numbers) setMarks(chosen map[string]uint32, mask uint32) {
	for name, place := range chosen {
		number := n.byName[name]
		number.Mark = deposit(place, mask)
		n.byName[name] = number
	}
}

// setTables gives an id to each table whose own the policy does not fix.
func (n *numbers) setTables(mask uint32, fixed map[uint32]bool) {
	for name, number := range n.byName {
		if number.Table == 0 {
			number.Table = freeTable(extract(number.Mark, mask), fixed)
			n.byName[name] = number
		}
	}
}

// setInterfaces says of each pinned table whose it is.
func (n *numbers) setInterfaces(doc *policy.Document) {
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		for _, name := range []string{u.Name, u.Name + strictSuffix, u.Name + fallbackSuffix(false), u.Name + fallbackSuffix(true)} {
			if number, used := n.byName[name]; used {
				number.Interface = u.Interface
				n.byName[name] = number
			}
		}
	}
}

// freeTable is the id of a number's table: firstTable + number, or further up where a fixed id has
// that place.
func freeTable(number uint32, fixed map[uint32]bool) uint32 {
	id := firstTable + number
	for fixed[id] {
		id += maxNumbers + 1
	}
	return id
}

// spareBit returns the highest bit of the mask if so many numbers, of which some are taken, do
// without it; else 0.
func spareBit(mask uint32, needed int, taken map[uint32]bool) uint32 {
	highest := highestBit(mask)
	for number := range taken {
		if deposit(number, mask)&highest != 0 {
			return 0
		}
	}
	if needed > int(capacity(mask&^highest)) {
		return 0
	}
	return highest
}

// places are the numbers that names can have: 1 to used. They are hashed into 1 to all, which is
// used or twice as many and one, and lose the bit that is too much. So a name that is below has the
// same number whether the mask's highest bit is one of the numbers' or not.
type places struct{ all, used uint32 }

// choose gives each name a free number.
func (p places) choose(names []string, taken map[uint32]bool) map[string]uint32 {
	chosen := map[string]uint32{}
	pending := slices.Sorted(slices.Values(names))
	for round := uint32(0); len(pending) > 0; round++ {
		var next []string
		for _, name := range pending {
			number := place(name, round, p.all) & p.used
			if number == 0 || taken[number] {
				next = append(next, name)
				continue
			}
			taken[number] = true
			chosen[name] = number
		}
		pending = next
	}
	return chosen
}

// hashedRounds is how many places a name tries by hash before it walks on from the last one.
const hashedRounds = 64

// capacity is how many numbers a mask has.
func capacity(mask uint32) uint32 {
	return uint32(min(uint64(1)<<bits.OnesCount32(mask)-1, maxNumbers))
}

// place is the round-th choice of a name, 1..limit.
func place(name string, round, limit uint32) uint32 {
	h := fnv.New64a()
	h.Write([]byte(name))
	h.Write([]byte{byte(min(round, hashedRounds))})
	sum := h.Sum64()
	// FNV's low bits mix poorly for short names; fold the high ones in.
	sum ^= sum >> 29
	sum *= 0xbf58476d1ce4e5b9
	sum ^= sum >> 32
	walked := uint64(max(round, hashedRounds) - hashedRounds)
	return uint32((sum%uint64(limit)+walked)%uint64(limit)) + 1
}

// strictUplinks returns the uplinks that strict tables and policies and lookup-only-in-table rules
// lead to, sorted: connections pinned to them by those must not fall through to default.
func strictUplinks(doc *policy.Document) []string {
	names := lookupOnlyUplinks(doc)
	for i := range doc.Tables {
		if doc.Tables[i].Strict {
			names = append(names, doc.Tables[i].Uplinks()...)
		}
	}
	names = append(names, policy.StrictUplinks(doc)...)
	slices.Sort(names)
	return slices.Compact(names)
}

// lookupOnlyUplinks returns the uplinks that rules lead to which keep their packets from all
// others, sorted: by lookup-only-in-table, or because the table is strict.
func lookupOnlyUplinks(doc *policy.Document) []string {
	var names []string
	for i := range doc.Rules {
		r := &doc.Rules[i]
		var table *policy.Table
		if r.Target.Kind == policy.ToTable {
			table = doc.Table(r.Target.Name)
		}
		strict := r.Action == policy.RuleLookup && table != nil && table.Strict
		switch {
		case r.Action != policy.RuleLookupOnly && !strict:
		case r.Target.Kind == policy.ToUplink:
			names = append(names, r.Target.Name)
		case r.Target.Kind == policy.ToDefault && doc.Default != nil:
			names = append(names, doc.Default.Uplinks()...)
		case r.Target.Kind == policy.ToDefault || r.Target.Kind == policy.ToMain:
			for j := range doc.Uplinks { // main is not ours: its routes may lead through any of them
				names = append(names, doc.Uplinks[j].Name)
			}
		case table != nil:
			names = append(names, table.Uplinks()...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// deposit spreads the low bits of n over the bits of mask, lowest first.
func deposit(n, mask uint32) uint32 {
	var v uint32
	for m := mask; m != 0 && n != 0; m &= m - 1 {
		if n&1 != 0 {
			v |= m & -m
		}
		n >>= 1
	}
	return v
}

// extract is deposit's inverse.
func extract(v, mask uint32) uint32 {
	var n uint32
	bit := uint32(1)
	for m := mask; m != 0; m &= m - 1 {
		if v&m&-m != 0 {
			n |= bit
		}
		bit <<= 1
	}
	return n
}
