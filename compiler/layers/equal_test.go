package layers

import (
	"slices"
	"testing"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
	"pbr/integration/race"
)

// How many packets one run of the equality test walks through the list and another form.
const equalPackets = 400_000

// TestFormsAreEqual makes random policies that overlap a lot, and sends packets at and around the
// ends of all their intervals through the list and through maps.
func TestFormsAreEqual(t *testing.T) {
	t.Parallel()
	r := testRand(t)
	structures := map[string]int{}
	forms := []Form{Cheapest, Maps, Masks}
	unseen := func() bool { // a kind may be rare among few lists
		return slices.ContainsFunc(structureKinds, func(kind string) bool { return structures[kind] == 0 })
	}
	for n, sent := 0, 0; sent < race.Cases(equalPackets) || sent < equalPackets && unseen(); n++ {
		l := randomList(r, 1+r.IntN(60))
		packets := l.packets()
		form := forms[n%len(forms)]
		list, maps := l.walker(t, List, nil), l.walker(t, form, structures)
		for i := range packets {
			if want, got := hit(t, list, &packets[i]), hit(t, maps, &packets[i]); got != want {
				t.Fatalf("form %d: %+v is %q's, not %q's\n%+v", form, packets[i], got, want, l.policies)
			}
		}
		sent += len(packets)
	}
	for _, kind := range structureKinds {
		t.Run(kind, func(t *testing.T) {
			if structures[kind] == 0 {
				t.Errorf("no list became a %s", kind)
			}
		})
	}
	t.Logf("%v", structures)
}

// walker walks the list in the form, and counts what it is made of.
func (l *list) walker(t *testing.T, form Form, structures map[string]int) *walk.Walker {
	t.Helper()
	r := Build("classify", l.policies, l.lookUp, form)
	rs := &plan.Ruleset{Sets: r.Sets, Chains: append(r.Chains, plan.Chain{Name: "classify", Rules: r.Rules})}
	for _, s := range l.sets {
		rs.Sets = append(rs.Sets, *s)
	}
	for i := range l.policies {
		rs.Counters = append(rs.Counters, plan.Counter{Name: l.policies[i].Name})
	}
	e, err := walk.New(rs) // refuses overlaps
	if err != nil {
		t.Fatalf("form %d: %v\n%+v\n%+v", form, err, l.policies, r)
	}
	if structures != nil {
		for i := range r.Rules {
			structures[structure(r, &r.Rules[i])]++
		}
	}
	return e.Walker()
}

// structureKinds are all answers of structure.
var structureKinds = []string{"rule", "hash", "masked hash", "tree", "hash of tuples", "masked hash of tuples", "ranges of tuples"}

// structure returns what kind of structure a rule looks into.
func structure(r *Result, rule *plan.ChainRule) string {
	prefixes := plan.PrefixList{}
	switch a := rule.Actions[0].(type) {
	case plan.VMap:
		prefixes[0] = a.Prefix
	case plan.ConcatVMap:
		prefixes = a.Prefixes
	default:
		return "rule"
	}
	name := plan.Uses(rule.Actions[0]).Name
	s := &r.Sets[slices.IndexFunc(r.Sets, func(s plan.Set) bool { return s.Name == name })]
	kind := "hash"
	switch {
	case s.Interval && len(s.Concat) == 0:
		return "tree"
	case s.Interval:
		kind = "ranges"
	case prefixes != plan.PrefixList{}:
		kind = "masked hash"
	}
	if len(s.Concat) > 0 {
		kind += " of tuples"
	}
	return kind
}

// hit is the policy that counts the packet, "" if none does.
func hit(t *testing.T, w *walk.Walker, p *walk.Packet) string {
	r, err := w.Walk("classify", p)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Counters) != 1 {
		if len(r.Counters) > 1 {
			t.Fatalf("%+v is counted by %v", p, r.Counters)
		}
		return ""
	}
	return r.Counters[0]
}

// packets are, for each interval of each box, its first and last value, the one before and the one
// after, with the other fields in the box or anywhere.
func (l *list) packets() (out []walk.Packet) {
	b := &builder{policies: l.policies, lookUp: l.lookUp}
	b.expand()
	for i := range b.boxes {
		one := &b.boxes[i]
		for d := range dimCount {
			if !one.fields.has(d) {
				out = append(out, l.packetIn(one))
				continue
			}
			t := d.field(one.family).Type()
			low, high := one.span(d).From.key(), one.span(d).To.key()
			values := []plan.Key{low, high}
			if before, ok := low.Prev(t); ok && d != dimIface {
				values = append(values, before)
			}
			if after, ok := high.Next(t); ok && d != dimIface {
				values = append(values, after)
			}
			for _, v := range values {
				p := l.packetIn(one)
				setField(&p, d, t, v)
				out = append(out, p)
			}
		}
	}
	return out
}
