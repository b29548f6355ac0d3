package dataplane

import "testing"

// A few packets of every stream arrive where they should, through every kind of router.
func TestEveryKindForwards(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, c := range append(smallest(configs()), steps()[2:]...) {
		m := b.add(c)
		b.establish(m)
		for _, c := range cells() {
			if r := b.measure(m, c, 10); r.packets != 10 || r.arrived != 10 {
				t.Errorf("%s, %v: of 10 packets %d were sent, %d arrived", m.name, c, r.packets, r.arrived)
			}
		}
	}
}

// smallest returns one configuration of each series, and all that belong to none.
func smallest(all []config) []config {
	seen := map[string]bool{}
	var list []config
	for _, c := range all {
		if c.series == "" || !seen[c.series] {
			list = append(list, c)
		}
		seen[c.series] = true
	}
	return list
}

// Frames for somebody else reach nobody: the floor is one.
func TestFloorForwardsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	m := b.add(configs()[0])
	for _, c := range cells() {
		s, out := m.source(c)
		s.floor = true
		if r := b.send(m, s, out, 0, 10); r.packets != 10 || r.arrived != 0 {
			t.Errorf("%v: of 10 packets %d were sent, %d arrived", c, r.packets, r.arrived)
		}
	}
}
