package compiler

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/ipproto"
	"pbr/compiler/layers"
	"pbr/compiler/plan"
	packets "pbr/compiler/walk"
)

// selects writes what a policy of a number selects by; keys end in "; ".
type selects func(n int) string

func ofHosts(n int) string { return fmt.Sprintf(`src = ["10.0.%d.%d", "fd00::%x"]`, n/256, n%256, n) }

func services(n int) string { return ofHosts(n) + `; proto = "udp"; dport = 53` }

func exceptions(n int) string {
	return services(n) + fmt.Sprintf(`; dst = ["172.16.%d.%d", "fd16::%x"]`, n/256, n%256, n)
}

func ofParts(n int) string {
	return fmt.Sprintf(`src = ["10.0.%d.0/28", "fd00:0:0:%x::/124"]; proto = "udp"`, n, n)
}

func ofLANs(n int) string {
	return fmt.Sprintf(`src = ["10.0.%d.0/24", "fd00:0:0:%x::/64"]; proto = "udp"`, n, n)
}

func toServers(n int) string { return fmt.Sprintf(`dst = ["172.17.0.%d", "fd17::%x"]`, n, n) }

func toNetworks(n int) string { return fmt.Sprintf(`dst = ["172.16.0.%d/32", "fd16::%x/128"]`, n, n) }

func byMAC(n int) string { return fmt.Sprintf(`mac = "02:00:00:00:00:%02x"`, n) }

// kind is policies of a list, so many.
type kind struct {
	n int
	selects
}

// listOf has policies of each kind, in the order of the kinds.
func listOf(kinds ...kind) string {
	var t strings.Builder
	t.WriteString(uplinksOfBoth)
	for i, k := range kinds {
		for n := range k.n {
			fmt.Fprintf(&t, "[[policy]]\nname = \"p%d-%d\"\nuplink = \"isp2\"\n%s\n", i, n,
				strings.ReplaceAll(k.selects(n), "; ", "\n"))
		}
	}
	return t.String()
}

// severalBySource is a list whose look-ups of sources stand between others.
func severalBySource() string {
	return listOf(kind{100, toServers}, kind{100, exceptions}, kind{100, services}, kind{100, ofHosts}, kind{100, ofParts}, kind{100, toNetworks})
}

// Look-ups in a row that need the source are behind one for all of their sources. What comes before
// and behind them is met by every packet, in the same order.
func TestSourcesComeFirst(t *testing.T) {
	t.Parallel()
	p := compiledText(t, severalBySource())
	for _, family := range plan.Families {
		list := chainOfVersion(chainClassify, family)
		ip, part := "classify-ip", "/28"
		if family == plan.IPv6 {
			ip, part = "classify-ip6", "/124"
		}
		for name, want := range map[string][]string{
			list:              {ip + "-dst", ip + "-sources" + part},
			list + "-sources": {ip + "-src-dst-proto-dport", ip + "-src-proto-dport", ip + "-src", ip + "-src" + part + "-proto"},
			list + "-others":  {ip + "-dst-2"},
		} {
			if got := mapsOf(chainOf(p, name)); !slices.Equal(got, want) {
				t.Errorf("%s looks into %q, not %q", name, got, want)
			}
		}
		for _, name := range []string{list, list + "-sources"} {
			if got := gotosOf(p, name); !slices.Equal(got, []string{list + "-others"}) {
				t.Errorf("%s leads on to %q", name, got)
			}
		}
	}
}

// mapsOf are the maps that the rules of a chain look into.
func mapsOf(ch *plan.Chain) (names []string) {
	for _, r := range ch.Rules {
		switch a := r.Actions[len(r.Actions)-1].(type) {
		case plan.VMap:
			names = append(names, a.Set)
		case plan.ConcatVMap:
			names = append(names, a.Set)
		}
	}
	return names
}

// A look-up of sources is there only where it spares some packets several.
func TestSourcesThatDoNotPay(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		kinds   []kind
		sources bool
	}{
		"three":                        {[]kind{{100, exceptions}, {100, services}, {100, ofHosts}}, true},
		"two":                          {[]kind{{100, exceptions}, {100, ofHosts}}, false},
		"two, and one of whole LANs":   {[]kind{{100, exceptions}, {100, ofHosts}, {100, ofLANs}}, false},
		"three, and one of whole LANs": {[]kind{{100, exceptions}, {100, services}, {100, ofHosts}, {100, ofLANs}}, true},
		"three with a rule between":    {[]kind{{100, exceptions}, {100, services}, {1, byMAC}, {100, ofHosts}}, false},
		"the most sources":             {[]kind{{fewSources, exceptions}, {fewSources, services}, {fewSources, ofHosts}}, true},
		"too many sources":             {[]kind{{fewSources + 1, exceptions}, {fewSources + 1, services}, {fewSources + 1, ofHosts}}, false},
		"three rules":                  {[]kind{{1, exceptions}, {1, services}, {1, ofHosts}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := compiledText(t, listOf(row.kinds...))
			if got := slices.ContainsFunc(p.Ruleset.Sets, func(s plan.Set) bool { return strings.Contains(s.Name, "-sources") }); got != row.sources {
				t.Errorf("a look-up of sources: %v; chains are %+v", got, p.Ruleset.Chains)
			}
		})
	}
}

// The list and the maps behind their sources answer alike, for sources that policies name, for
// their neighbours and for strangers.
func TestSourcesAnswerAsTheListDoes(t *testing.T) {
	t.Parallel()
	doc := parse(t, severalBySource())
	list, maps := walkerOf(t, &Compiler{doc: doc, Form: layers.List}), walkerOf(t, New(doc))
	sources, matched := []string{"10.0.0.0", "10.0.0.99", "10.0.0.100", "10.0.1.0", "10.0.1.15", "10.0.1.16", "10.0.99.3", "10.0.100.3", "9.255.255.255",
		"fd00::", "fd00::63", "fd00::64", "fd00:0:0:1::f", "fd00:0:0:1::10", "fd00:0:0:64::", "fcff::1"}, 0
	for _, source := range sources {
		packet := packets.Packet{IIF: "lan", Src: netip.MustParseAddr(source), CTState: packets.StateNew}
		targets := []string{"172.16.0.0", "172.16.0.99", "172.16.0.100", "172.17.0.1"}
		if packet.Src.Is6() {
			targets = []string{"fd16::", "fd16::63", "fd16::64", "fd17::1"}
		}
		for _, target := range targets {
			for _, packet.Proto = range []uint8{ipproto.TCP, ipproto.UDP, ipproto.ICMP} {
				for _, packet.DPort = range []uint16{25, 53, 80} {
					packet.Dst = netip.MustParseAddr(target)
					want, err := list.Walk(chainClassify, &packet)
					if err != nil {
						t.Fatal(err)
					}
					got, err := maps.Walk(chainClassify, &packet)
					if err != nil {
						t.Fatal(err)
					}
					if got.Mark != want.Mark || got.Verdict != want.Verdict || !slices.Equal(got.Counters, want.Counters) {
						t.Errorf("%+v: maps say %+v, the list %+v", packet, got, want)
					}
					if got.Mark != 0 {
						matched++
					}
				}
			}
		}
	}
	if all := len(sources) * 4 * 3 * 3; matched == 0 || matched == all {
		t.Errorf("%d of %d packets matched", matched, all)
	}
}

func walkerOf(t *testing.T, c *Compiler) *packets.Walker {
	t.Helper()
	p, problems := c.Compile(plan.HostFacts{}, nil)
	if p == nil {
		t.Fatal(problems)
	}
	e, err := packets.New(&p.Ruleset)
	if err != nil {
		t.Fatal(err)
	}
	return e.Walker()
}
