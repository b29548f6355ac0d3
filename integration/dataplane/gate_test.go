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
	// tolerance is how much worse than recorded a ratio may be, besides what it spreads.
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

// figure is what a row costs, for one kind: as a ratio to the frozen row, beside what the base
// costs as such a ratio. Of a run each is the median of the rounds, and Spread that of Ratio; of a
// recording each is the median of the runs.
type figure struct {
	Ratio  float64 `json:"ratio"`
	Base   float64 `json:"base"`
	Spread float64 `json:"spread"`
}

// figures are those of a row, by kind.
type figures map[string]figure

// toFrozen returns the figures of all rows of pbr that were measured.
func (res *results) toFrozen() map[string]figures {
	all := map[string]figures{}
	to, least := res.find(frozen), res.find(base)
	for _, m := range res.rows {
		if !strings.HasPrefix(m.name, prefixOwn) {
			continue
		}
		all[m.name] = figures{}
		for kind, in := range kinds() {
			q, ok := res.ratio(m, to, in)
			under, okBase := res.ratio(least, to, in)
			if ok && okBase {
				all[m.name][kind] = figure{thousandths(q.median), thousandths(under.median), thousandths(q.spread)}
			}
		}
	}
	return all
}

// at returns the ratio of a recorded figure where the base has another part in the frozen row's
// cost. What connection tracking and NAT cost a first packet doubles while other programs use the
// machine's memory, and no ruleset's look-ups do: so what each row costs above the base is
// compared.
func (f figure) at(least float64) float64 {
	return least + (f.Ratio-f.Base)*(1-least)/(1-f.Base)
}

// worse returns, a line each, where the product costs more than recorded, beyond what runs or the
// rounds of this one spread.
func (res *results) worse() ([]string, error) {
	was, err := recorded()
	if err != nil || res.find(frozen) == nil {
		return nil, err
	}
	return regressions(was, res.toFrozen()), nil
}

// regressions compares figures, row by row. A kind whose packets were lost is one.
func regressions(was, now map[string]figures) (list []string) {
	for row, measured := range now {
		for kind, before := range was[row] {
			after, counts := measured[kind]
			most := before.at(after.Base)
			switch {
			case !counts:
				list = append(list, fmt.Sprintf("%s, %s: packets did not arrive on the right uplink", row, kind))
			case after.Ratio > most+tolerance+max(after.Spread, before.Spread):
				list = append(list, fmt.Sprintf(
					"%s, %s: %.3f ±%.3f of the frozen ruleset, recorded are %.3f ±%.3f, which is %.3f here, "+
						"where the base is %.3f and not %.3f "+
						"(make bench-record makes this the new figure)",
					row, kind, after.Ratio, after.Spread, before.Ratio, before.Spread, most, after.Base, before.Base))
			}
		}
	}
	slices.Sort(list)
	return list
}

// What is worse than recorded by more than the tolerance is reported, and nothing else.
func TestGateTellsRegressions(t *testing.T) {
	t.Parallel()
	one := figure{Ratio: 1, Base: 0.6, Spread: 0.01}
	was := map[string]figures{
		"pbr, a": {"IPv4 new": one, "IPv6 new": one, "IPv4 established": one}, "pbr, not measured": {"IPv4 new": one},
	}
	got := regressions(was, map[string]figures{
		"pbr, a":   {"IPv4 new": {1 + tolerance/2, 0.6, 0}, "IPv6 new": {1 + 2*tolerance, 0.6, 0.02}},
		"pbr, new": {"IPv4 new": {9, 0.6, 0}},
	})
	want := []string{
		"pbr, a, IPv4 established: packets did not arrive on the right uplink",
		"pbr, a, IPv6 new: 1.060 ±0.020 of the frozen ruleset, recorded are 1.000 ±0.010, which is 1.000 here, where the base is 0.600 " +
			"and not 0.600 (make bench-record makes this the new figure)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("regressions are %q, want %q", got, want)
	}
}

// Where the base costs more, it hides more of what pbr costs, and of what the frozen row does.
func TestGateFollowsTheBase(t *testing.T) {
	t.Parallel()
	// Of 1,000 for the base the frozen row costs 2,000 and pbr's 1,500; of 2,000 they cost 3,000
	// and 2,500.
	was := figure{Ratio: 0.75, Base: 0.5, Spread: 0}
	if got := thousandths(was.at(2. / 3)); got != 0.833 {
		t.Errorf("with a base of 2/3 the row should cost %.3f", got)
	}
	for ratio, worse := range map[float64]bool{0.84: false, 0.88: true} {
		list := regressions(map[string]figures{"pbr, a": {"IPv4 new": was}}, map[string]figures{"pbr, a": {"IPv4 new": {ratio, 2. / 3, 0}}})
		if (list != nil) != worse {
			t.Errorf("of a row that costs %.2f the gate tells %q", ratio, list)
		}
	}
}
