package explain_test

import (
	"strings"
	"testing"

	"pbr/compiler"
	"pbr/compiler/explain"
	"pbr/compiler/plan"
)

// Without an interface, too, it is the forwarded packet that is reported, and what happens to it if
// the uplink fails.
func TestStoryWithoutInterface(t *testing.T) {
	doc, p, compiled := compiledPolicy(t, twoUplinks+"[[policy]]\nname = \"own\"\nfrom = \"local\"\nuplink = \"isp1\"\nstrict = true\n")
	x, err := explain.New(doc, p, p, explain.Live{Failing: func(uplink string) *plan.Plan {
		p, _ := compiled.Compile(plan.HostFacts{}, compiler.Down(map[string]int{uplink: 1}))
		return p
	}})
	if err != nil {
		t.Fatal(err)
	}
	a := answered(t, x, map[string]string{"src": "192.168.10.2", "dst": "9.9.9.9", "proto": "udp"})
	for _, step := range x.Story(a, nil, false).Steps {
		if step.What == "if isp1 fails" {
			if !strings.HasSuffix(step.Text, "a new one uses isp2") {
				t.Error(step.Text)
			}
			return
		}
	}
	t.Error("what happens if isp1 fails is missing")
}

// A policy whose uplink is down says so, and the last uplink of a table keeps its connections.
func TestStoryOfTheLastUplink(t *testing.T) {
	doc, _, compiled := compiledPolicy(t, twoUplinks+"[[policy]]\nname = \"voip\"\nuplink = \"isp2\"\nstrict = false\n")
	down := func(order map[string]int) *plan.Plan {
		p, _ := compiled.Compile(plan.HostFacts{}, compiler.Down(order))
		return p
	}
	p := down(map[string]int{"isp2": 1})
	x, err := explain.New(doc, p, p, explain.Live{
		Health:  map[string]string{"isp2": "it is down"},
		Failing: func(uplink string) *plan.Plan { return down(map[string]int{"isp2": 1, uplink: 2}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	a := answered(t, x, map[string]string{"src": "192.168.10.2", "dst": "9.9.9.9", "proto": "udp"})
	got := map[string]string{}
	for _, step := range x.Story(a, nil, false).Steps {
		got[step.What] = step.Text
	}
	t.Run("the policy says why its uplink is not used", func(t *testing.T) {
		if want := "; uplink isp2 is not used: it is down"; !strings.HasSuffix(got["policy"], want) {
			t.Errorf("policy: %q, want %q", got["policy"], want)
		}
	})
	t.Run("the last uplink keeps its connections", func(t *testing.T) {
		if want := "nothing changes: table default has no other usable uplink"; got["if isp1 fails"] != want {
			t.Errorf("if isp1 fails: %q, want %q", got["if isp1 fails"], want)
		}
	})
}

// What happens to connections of a table whose only uplink fails depends on what else uses that
// uplink.
func TestStoryOfTheOnlyUplink(t *testing.T) {
	const only = "[[table]]\nname = \"only\"\nroutes = { uplink = \"isp2\" }\n[[policy]]\nname = \"tv\"\ntable = \"only\"\n"
	for name, c := range map[string]struct{ more, want string }{
		"alone": {"", "nothing changes: table only has no other usable uplink"},
		"another table moves": {"[[table]]\nname = \"both\"\nroutes = [{ uplink = \"isp2\" }, { uplink = \"isp1\", distance = 2 }]\n" +
			"[[policy]]\nname = \"pc\"\nsrc = \"192.168.10.9\"\ntable = \"both\"\n",
			"this connection is flushed, because table both moves to another uplink; a new one uses isp2 anyway: " +
				"table only has no other usable uplink"},
		"a policy falls back": {"[[policy]]\nname = \"pc\"\nsrc = \"192.168.10.9\"\nuplink = \"isp2\"\nstrict = false\n",
			"this connection is flushed, because policy pc falls back to default; a new one uses isp2 anyway: " +
				"table only has no other usable uplink"},
	} {
		t.Run(name, func(t *testing.T) {
			doc, p, compiled := compiledPolicy(t, twoUplinks+only+c.more)
			x, err := explain.New(doc, p, p, explain.Live{Failing: func(uplink string) *plan.Plan {
				p, _ := compiled.Compile(plan.HostFacts{}, compiler.Down(map[string]int{uplink: 1}))
				return p
			}})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, step := range x.Story(answered(t, x, map[string]string{"src": "192.168.10.2", "dst": "9.9.9.9",
				"proto": "udp"}), nil, false).Steps {
				got[step.What] = step.Text
			}
			if got["if isp2 fails"] != c.want {
				t.Errorf("if isp2 fails: %q, want %q", got["if isp2 fails"], c.want)
			}
		})
	}
}
