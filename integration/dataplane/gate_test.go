package dataplane

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// frozen is the name of the row that pbr's own rows are held against: a ruleset that never changes,
// so that its cost says how fast the machine is at the moment.
const frozen = "frozen ruleset"

// prefixOwn begins the names of pbr's own rows.
const prefixOwn = "pbr, "

const (
	// frozenFile is what pbr printed for 1,000 policies, 2 tables and reverse-path "nft" when the
	// gate was made.
	frozenFile = "testdata/frozen.txt"
	// tolerance is how much worse than recorded a ratio may be: the spread of the medians of first
	// packets.
	tolerance = 0.03
)

// frozenConfig makes a router by the text.
func frozenConfig() config {
	return config{name: frozen, n: 1000, series: frozen, steers: true, setUp: func(t testing.TB, r *router, _ []selector) {
		t.Helper()
		script, err := os.ReadFile(frozenFile)
		if err != nil {
			t.Fatal(err)
		}
		r.RunInput(string(script), "sh")
	}}
}

// kinds are what a row's ratios are recorded for; each is the geometric mean of its streams.
func kinds() map[string][]cell {
	list := map[string][]cell{}
	for _, c := range cells() {
		name := c.family.String() + " established"
		if c.fresh {
			name = c.family.String() + " new"
		}
		list[name] = append(list[name], c)
	}
	return list
}

// ratios are a row's ratios to the frozen one, by kind.
type ratios map[string]float64

// toFrozen returns the ratios of all rows of pbr that were measured, less so many times their
// spread.
func (res *results) toFrozen(spreads float64) map[string]ratios {
	all := map[string]ratios{}
	for _, m := range res.rows {
		if !strings.HasPrefix(m.name, prefixOwn) {
			continue
		}
		all[m.name] = ratios{}
		for kind, in := range kinds() {
			if q, ok := res.ratio(m, res.find(frozen), in); ok {
				all[m.name][kind] = thousandths(q.median - spreads*q.spread)
			}
		}
	}
	return all
}

// worse tells, a line each, where the product costs more than recorded, beyond what the run itself
// spreads: 0.01 on a calm machine.
func (res *results) worse() ([]string, error) {
	was, err := recorded()
	if err != nil || res.find(frozen) == nil {
		return nil, err
	}
	return regressions(was, res.toFrozen(1)), nil
}

// regressions compares ratios, row by row. A kind whose packets were lost is one.
func regressions(was, now map[string]ratios) (list []string) {
	for row, measured := range now {
		for kind, before := range was[row] {
			after, counts := measured[kind]
			switch {
			case !counts:
				list = append(list, fmt.Sprintf("%s, %s: packets did not arrive on the right uplink", row, kind))
			case after > before+tolerance:
				list = append(list, fmt.Sprintf(
					"%s, %s: %.3f of the frozen ruleset, recorded are %.3f (make bench-record makes this "+
						"the new figure)", row, kind, after, before))
			}
		}
	}
	slices.Sort(list)
	return list
}

// What is worse than recorded by more than the tolerance is told, and nothing else.
func TestGateTellsRegressions(t *testing.T) {
	t.Parallel()
	was := map[string]ratios{"pbr, a": {"IPv4 new": 1, "IPv6 new": 1, "IPv4 established": 1}, "pbr, not measured": {"IPv4 new": 1}}
	got := regressions(was, map[string]ratios{
		"pbr, a":   {"IPv4 new": 1 + tolerance/2, "IPv6 new": 1 + 2*tolerance},
		"pbr, new": {"IPv4 new": 9},
	})
	want := []string{
		"pbr, a, IPv4 established: packets did not arrive on the right uplink",
		"pbr, a, IPv6 new: 1.060 of the frozen ruleset, recorded are 1.000 (make bench-record makes this the new figure)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("regressions are %q, want %q", got, want)
	}
}
