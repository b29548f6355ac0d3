package compiler

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// A list that looks into maps is one for each IP version, in the same order, in which what is for
// both has its place twice; packets of which the version is known enter there.
func TestListOfEachVersion(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString(uplinksOfBoth)
	for i := range 40 {
		fmt.Fprintf(&text, "[[policy]]\nname = \"host-%d\"\nsrc = [\"10.0.0.%d\", \"fd00::%x\"]\ndst = "+
			"[\"10.1.0.0/16\", \"fd01::/16\"]\nuplink = \"isp2\"\n", i, i, i)
	}
	text.WriteString("[[policy]]\nname = \"by-mac\"\nmac = \"02:00:00:00:00:01\"\nuplink = \"isp2\"\n")
	for i := range 40 {
		fmt.Fprintf(&text, "[[policy]]\nname = \"to-%d\"\ndst = [\"10.2.0.%d\", \"fd02::%x\"]\nuplink = \"isp2\"\n", i, i, i)
	}
	p := compiledText(t, text.String())
	for _, family := range plan.Families {
		part := chainOf(p, chainOfVersion(chainClassify, family))
		if len(part.Rules) != 3 || versionOf(&part.Rules[0]) != family || versionOf(&part.Rules[1]) != 0 ||
			versionOf(&part.Rules[2]) != family {
			t.Errorf("IPv%d packets pass %+v, not what is for them", family, part.Rules)
		}
	}
	if got := gotosOf(p, chainClassify); !slices.Equal(got, []string{"classify-4", "classify-6"}) {
		t.Errorf("%s leads to %q", chainClassify, got)
	}
	for chain, want := range map[string]string{chainFirstKnown: "classify-4", chainFirstKnown6: "classify-6", chainFirst: chainClassify} {
		if got := gotosOf(p, chain); got[len(got)-1] != want {
			t.Errorf("chain %s ends in %q, not in %s", chain, got, want)
		}
	}
}

// A list of rules stays as it was written, and one for one version alone is not divided.
func TestListOfBothVersions(t *testing.T) {
	t.Parallel()
	var hosts strings.Builder
	for i := range 40 {
		fmt.Fprintf(&hosts, "[[policy]]\nname = \"host-%d\"\nsrc = \"10.0.0.%d\"\nuplink = \"isp2\"\n", i, i)
	}
	for name, policies := range map[string]string{
		"a list":      "[[policy]]\nname = \"hosts\"\nsrc = [\"10.0.0.1\", \"10.0.0.2\", \"fd00::1\", \"fd00::2\"]\nuplink = \"isp2\"\n",
		"one version": hosts.String(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := compiledText(t, uplinksOfBoth+policies)
			if hasChain(p, "classify-4") || hasChain(p, "classify-6") || len(chainOf(p, chainClassify).Rules) == 0 {
				t.Errorf("the list was divided: %+v", p.Ruleset.Chains)
			}
		})
	}
}

const uplinksOfBoth = `
uplink = [{ name = "isp1", interface = "wan1", gateway = "192.0.2.1", gateway6 = "2001:db8:1::1" },
          { name = "isp2", interface = "wan2", gateway = "198.51.100.1", gateway6 = "2001:db8:2::1" }]
default = { routes = { uplink = "isp1" } }
`

func hasChain(p *plan.Plan, name string) bool {
	return slices.ContainsFunc(p.Ruleset.Chains, func(ch plan.Chain) bool { return ch.Name == name })
}

// gotosOf are the chains that the rules of a chain go to.
func gotosOf(p *plan.Plan, chain string) (names []string) {
	for _, r := range chainOf(p, chain).Rules {
		for _, a := range r.Actions {
			if to, ok := a.(plan.Goto); ok {
				names = append(names, to.Chain)
			}
		}
	}
	return names
}
