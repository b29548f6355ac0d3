package render

import (
	"net/netip"
	"testing"

	"pbr/compiler/plan"
)

func TestIPText(t *testing.T) {
	auto := route("::/0", 120, 2, hop("eth1", "auto"))
	p := &plan.Plan{
		Mask:     testMask,
		Numbers:  []plan.Number{{Name: "to-isp2", Table: 120, Mark: 0x13000000}},
		Deferred: []plan.Deferred{{Object: "uplink isp3", Reason: "interface eth3 does not exist"}},
		Routes:   []plan.Route{route("0.0.0.0/0", 120, 1, hop("we$ird", "198.51.100.1")), auto},
		Rules: []plan.Rule{
			{Family: plan.IPv4, Priority: 10000, Action: plan.ActLookup, Table: plan.MainTable, SuppressPrefix: 1, Protocol: plan.Protocol},
			{Family: plan.IPv4, Priority: 10010, Mark: 0x13000000, MarkMask: testMask, Action: plan.ActLookup,
				Table: 120, Protocol: plan.Protocol},
			{Family: plan.IPv4, Priority: 10020, DSCP: 47, Src: netip.MustParsePrefix("10.0.0.0/8"),
				Action: plan.ActLookup, Table: 120, Protocol: plan.Protocol},
		},
		Dynamic: []plan.Dynamic{{Kind: plan.SourceRules, Family: plan.IPv4, Interface: "eth2", Uplink: "isp2",
			Table: 121, Priority: 10015}},
	}
	const want = `# deferred: uplink isp3: interface eth3 does not exist
# table to-isp2
ip -4 route replace default via 198.51.100.1 dev 'we$ird' table 120 proto 112 metric 1
# table to-isp2
# pbr apply uses main's gateway for eth1 instead of GATEWAY:
# ip -6 route replace default via GATEWAY dev eth1 table 120 proto 112 metric 2
# ip rules of IPv4
ip -4 rule flush protocol 112
# main's routes longer than /0
ip -4 rule add priority 10000 from all lookup main suppress_prefixlength 0 protocol 112
# table to-isp2, marked packets
ip -4 rule add priority 10010 from all fwmark 0x13000000/0xff000000 lookup 120 protocol 112
# one for each IPv4 address of eth2 (uplink isp2):
# ip -4 rule add priority 10015 from ADDRESS lookup 121 protocol 112
# table to-isp2
ip -4 rule add priority 10020 from 10.0.0.0/8 dscp 46 lookup 120 protocol 112
`
	if got := ipText(t, p); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{
		"eth1": "eth1", "eth0.100@x": "eth0.100@x", "": "''", "a b": "'a b'", "x;rm": "'x;rm'", "it's": `'it'\''s'`,
		"$(id)": "'$(id)'", "wg*": "'wg*'",
	} {
		t.Run(in, func(t *testing.T) {
			if got := shellWord(in); got != want {
				t.Errorf("%q: got %s, want %s", in, got, want)
			}
		})
	}
}
