package kernel

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/walk"
	"pbr/kernel/conntrack"
)

// movedPlan compiles a policy with a number of uplinks; more goes into [pbr].
func movedPlan(t *testing.T, uplinks int, more string) *plan.Plan {
	t.Helper()
	text := "[pbr]\noffload = \"off\"\n" + more
	for i := range uplinks {
		text += fmt.Sprintf("[[uplink]]\nname = \"isp%d\"\ninterface = \"wan%d\"\ngateway = "+
			"\"192.0.2.%d\"\nnat = \"masquerade\"\n", i, i, i+1)
	}
	text += "[default]\nroutes = { uplink = \"isp0\" }\n[[policy]]\nname = \"all\"\nuplink = \"isp1\"\n"
	doc, problems := policy.Parse(fstest.MapFS{"pbr.toml": {Data: []byte(text)}}, "pbr.toml", "pbr.toml")
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	p, problems := compiler.Compile(doc, plan.HostFacts{}, nil)
	if p == nil {
		t.Fatal(problems)
	}
	return p
}

// markOf returns a name's number in a plan.
func markOf(t *testing.T, p *plan.Plan, name string) uint32 {
	t.Helper()
	for _, n := range p.Numbers {
		if n.Name == name {
			return n.Mark
		}
	}
	t.Fatalf("the plan has no number for %s", name)
	return 0
}

// TestEarlierMarksFindTheirUplink: while connections carry marks of an earlier plan, their packets
// are routed as its successor's are: those to the uplink get its mark, those that arrive on an
// uplink get none, whichever rules of the chains the wanted plan needs for that.
func TestEarlierMarksFindTheirUplink(t *testing.T) {
	const tooWide = "[[table]]\nname = \"wide\"\nmark = 0xfe000000\nroutes = { uplink = \"isp0\" }\n"
	for _, shape := range []struct {
		name    string
		uplinks int
		more    string
		inside  bool
	}{
		{"uplinks by name", 3, "", true},
		{"uplinks in a set", 5, "", true},
		{"sources are judged", 3, "reverse-path = \"nft\"\n", true},
		{"no inside bit", 3, tooWide, false},
		{"rules", 3, "[[rule]]\nname = \"r\"\nsrc = \"10.7.0.0/16\"\ntable = \"main\"\n", true},
	} {
		for _, earlier := range []struct {
			name, more string
			inside     bool
		}{
			{"inside bit", "mark-mask = 0x00ff0000\n", true},
			{"no inside bit", "mark-mask = 0x00ff0000\n" + strings.Replace(tooWide, "0xfe000000", "0x00fe0000", 1), false},
		} {
			t.Run(shape.name+", earlier "+earlier.name, func(t *testing.T) {
				t.Parallel()
				was, want := movedPlan(t, shape.uplinks, earlier.more), movedPlan(t, shape.uplinks, shape.more)
				if (want.Inside != 0) != shape.inside || (was.Inside != 0) != earlier.inside {
					t.Fatalf("the inside bits are %#x and %#x", was.Inside, want.Inside)
				}
				r := &conntrack.Migration{Want: conntrack.MarksOf(want), Earlier: []conntrack.Marks{conntrack.MarksOf(was)}}
				rules := transitional(want, r)
				checkMoved(t, &rules, markOf(t, was, "isp1"), was.Inside, markOf(t, want, "isp1"))
			})
		}
	}
}

// checkMoved sends packets of connections with an earlier mark through a ruleset.
func checkMoved(t *testing.T, rules *plan.Ruleset, earlier, inside, want uint32) {
	t.Helper()
	e, err := walk.New(rules)
	if err != nil {
		t.Fatal(err)
	}
	host, far := netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("203.0.113.9")
	for _, row := range []struct {
		name   string
		chain  string
		packet walk.Packet
		mark   uint32
	}{
		{"from inside: upload", "prerouting", walk.Packet{IIF: "br-lan", Src: host, Dst: far, CTMark: earlier | inside}, want},
		{"from inside: download", "prerouting", walk.Packet{IIF: "wan1", Src: far, Dst: host, Reply: true, CTMark: earlier | inside}, 0},
		{"from outside: upload", "prerouting", walk.Packet{IIF: "br-lan", Src: host, Dst: far, Reply: true, CTMark: earlier}, want},
		{"from outside: download", "prerouting", walk.Packet{IIF: "wan1", Src: far, Dst: host, CTMark: earlier}, 0},
		{"the router's own", "output", walk.Packet{OIF: "wan1", Src: host, Dst: far, CTMark: earlier | inside}, want},
	} {
		k := row.packet
		k.Proto, k.SPort, k.DPort = 17, 1000, 443
		k.CTState, k.CTStatus = walk.StateEstablished, walk.StatusConfirmed
		got, err := e.Walker().Walk(row.chain, &k)
		if err != nil {
			t.Fatal(err)
		}
		if got.Mark != row.mark || got.Verdict == walk.Dropped {
			t.Errorf("%s: the packet has mark %#x, not %#x: %v", row.name, got.Mark, row.mark, got.Verdict)
		}
	}
}
