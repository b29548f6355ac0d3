package integration

import (
	"fmt"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// Where policies are maps their elements count. The hits of a policy are those of all its elements,
// also after edits that lead them elsewhere, put them into other maps, or make the list short
// enough to be rules.
func TestHitsOfElements(t *testing.T) {
	t.Parallel()
	few := watchPolicy + "[[policy]]\nname = \"rest\"\nsrc = \"192.168.10.10\"\ndefault = true\n"
	var many strings.Builder
	for i := range 20 {
		fmt.Fprintf(&many, "[[policy]]\nname = \"host%d\"\nsrc = [\"10.9.0.%d\", \"2001:db8:9::%[2]d\"]\ntable = \"to-isp2\"\n", i, i)
	}
	w := newWatched(t, few+many.String(), 2)
	w.router.apply(few + many.String())
	if list := w.Router.Run("nft", "list", "table", "inet", "pbr"); strings.Contains(list, "chain policy-") ||
		strings.Contains(list, "counter policy-") ||
		!strings.Contains(list, `comment "policy-second" : goto mark-to-isp2`) ||
		!strings.Contains(list, `comment "policy-rest" : goto unmarked`) {
		t.Fatalf("policies are no elements that count:\n%s", list)
	}
	tr := w.startTrace("--src", bySecond.String(), "--proto", "udp", "--count", "1")
	for range 2 {
		w.arrives(bySecond)
		if _, err := w.lan.AskOnce("udp", byDefault, farEnd, lab.DialOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.lan.AskOnce("udp", bySecond, farEnd, lab.DialOptions{}); err != nil {
		t.Fatal(err)
	}
	if all := tr.end(); len(all) != 1 || text(all[0].Policy) != "second" || !all[0].Agrees {
		t.Errorf("traced: %+v", all)
	}
	check := func(t *testing.T, when string) {
		t.Helper()
		all := w.steering()
		for name, hits := range map[string]uint64{"second": 3, "rest": 2, "host1": 0} {
			if p, there := all[name]; there && (p.Hits == nil || *p.Hits != hits) || !there && name != "host1" {
				t.Errorf("%s: policy %s: %+v, not %d hits", when, name, p, hits)
			}
		}
		w.router.inSync()
	}
	step := steps.Of(t)
	step.Run("at first", func(t *testing.T) {
		check(t, "at first")
	})
	step.Run("another table", func(t *testing.T) {
		w.router.apply(strings.Replace(few, "table = \"to-isp2\"", "table = \"only-isp2\"", 1) + many.String())
		check(t, "another table")
	})
	step.Run("other maps", func(t *testing.T) {
		w.router.apply(few + strings.ReplaceAll(many.String(), "]\ntable", "]\nproto = \"tcp\"\ntable"))
		check(t, "other maps")
	})
	step.Run("rules in place of maps", func(t *testing.T) {
		w.router.apply(few)
		check(t, "rules")
	})
	step.Run("maps again", func(t *testing.T) {
		w.router.apply(few + many.String())
		check(t, "maps again")
	})
}
