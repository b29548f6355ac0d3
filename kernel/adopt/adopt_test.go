package adopt

import (
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler"
	"pbr/compiler/ipproto"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/conntrack"
	"pbr/kernel/route"
)

const base = `
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
gateway6 = "2001:db8:f1::1"
nat = "masquerade"
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
gateway6 = "2001:db8:f2::1"
nat = "198.51.100.9"
[[uplink]]
name = "routed"
interface = "wan3"
gateway = "203.0.113.1"
gateway6 = "2001:db8:f3::1"
[[table]]
name = "secret"
strict = true
routes = { uplink = "isp2" }
[[table]]
name = "second"
routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }]
[[balance]]
name = "pool"
mode = "random"
members = [{ uplink = "isp1" }, { table = "secret" }]
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[policy]]
name = "kill"
src = ["10.0.0.12", "fd00::12"]
table = "secret"
[[policy]]
name = "strict-policy"
src = "10.0.0.17"
uplink = "routed"
strict = true
[[policy]]
name = "two"
src = "10.0.0.11"
table = "second"
[[policy]]
name = "by-mac"
mac = "02:00:00:00:00:13"
table = "secret"
[[policy]]
name = "by-dscp"
src = "10.0.0.14"
dscp = 46
table = "secret"
[[policy]]
name = "shared"
src = "10.0.0.15"
balance = "pool"
[[policy]]
name = "router"
from = "local"
dst = "8.8.4.4"
table = "secret"
`

// machine answers as a kernel would that holds the plan: networks inside come first, marks then,
// and unmarked packets leave through wan1.
type machine struct{ plan *plan.Plan }

func (m machine) Way(q route.Query) route.Way {
	switch {
	case q.Dst == netip.MustParseAddr("198.51.100.2"):
		return route.Way{Local: true, Table: 255}
	case strings.HasPrefix(q.Dst.String(), "10.") || strings.HasPrefix(q.Dst.String(), "fd00:"):
		return route.Way{Dev: "lan", Table: 254}
	case q.Mark == 0:
		return route.Way{Dev: "wan1", Table: 112000}
	}
	for _, n := range m.plan.Numbers {
		if n.Mark != q.Mark {
			continue
		}
		if n.Interface != "" {
			return route.Way{Dev: n.Interface, Table: n.Table}
		}
		return route.Way{Dev: "wan2", Table: n.Table} // both tables
	}
	return route.Way{Refused: true}
}

func newJudge(t *testing.T, text string) *Judge {
	t.Helper()
	doc, diags := policy.Parse(fstest.MapFS{"pbr.toml": {Data: []byte(text)}}, "pbr.toml", "pbr.toml")
	if doc == nil {
		t.Fatal(diags)
	}
	p, diags := compiler.Compile(doc, plan.HostFacts{}, nil)
	if p == nil {
		t.Fatal(diags)
	}
	a := netip.MustParseAddr
	j, err := New(p, Facts{
		Addrs: map[string][]netip.Addr{
			"lan":  {a("10.0.0.1"), a("fd00::1")},
			"wan1": {a("192.0.2.2"), a("2001:db8:f1::2")}, "wan2": {a("198.51.100.2"), a("2001:db8:f2::2")}, "wan3": {a("203.0.113.2")},
			"eth9": {a("172.16.0.2")},
		},
		MACs: map[netip.Addr][6]byte{a("10.0.0.13"): {2, 0, 0, 0, 0, 0x13}, a("10.0.0.16"): {2, 0, 0, 0, 0, 0x16},
			a("fd00::10"): {2, 0, 0, 0, 0, 0x10}, a("10.0.0.10"): {2, 0, 0, 0, 0, 0x10},
			a("10.0.0.11"): {2, 0, 0, 0, 0, 0x11}, a("10.0.0.14"): {2, 0, 0, 0, 0, 0x14}, a("10.0.0.15"): {2, 0, 0, 0, 0, 0x15}},
		Way: machine{p}.Way,
	})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// flow is a connection: who opened it to whom, and who answers to whom.
func flow(src, dst, replySrc, replyDst string) *conntrack.Flow {
	tuple := func(a, b string) conntrack.Tuple {
		return conntrack.Tuple{Src: netip.MustParseAddr(a), Dst: netip.MustParseAddr(b), Proto: ipproto.UDP,
			SPort: 1000, DPort: 2000, HasPorts: true}
	}
	return &conntrack.Flow{Orig: tuple(src, dst), Reply: tuple(replySrc, replyDst)}
}

// word says a verdict by the name of the mark's table.
func word(j *Judge, v Verdict) string {
	switch {
	case v.Exposed:
		return "delete, exposed"
	case v.Delete:
		return "delete"
	case len(v.Arrivals) > 0:
		said := "by"
		for _, a := range v.Arrivals {
			said += " " + a.Interface + ": " + j.tables[a.Mark].Name
		}
		return said
	case v.Pin == 0:
		return "keep"
	}
	return j.tables[v.Pin].Name
}

func TestDecide(t *testing.T) {
	j := newJudge(t, base)
	const far = "8.8.8.8"
	for _, c := range []struct {
		what                         string
		src, dst, replySrc, replyDst string
		mark, want                   string
	}{
		{"untranslated, default", "10.0.0.10", far, far, "10.0.0.10", "", "delete"},
		{"untranslated, of a policy", "10.0.0.11", far, far, "10.0.0.11", "", "delete"},
		{"untranslated, IPv6", "fd00::10", "2001:db8::8", "2001:db8::8", "fd00::10", "", "delete"},
		{"translated to the primary's", "10.0.0.10", far, far, "192.0.2.2", "", "keep"},
		{"of a policy, on default's uplink", "10.0.0.11", far, far, "192.0.2.2", "", "isp1"},
		{"of a policy, on its uplink", "10.0.0.11", far, far, "198.51.100.2", "", "isp2"},
		{"by static NAT", "10.0.0.10", far, far, "198.51.100.9", "", "isp2"},
		{"IPv6, by the second", "fd00::10", "2001:db8::8", "2001:db8::8", "2001:db8:f2::2", "", "isp2"},
		{"strict, on another uplink", "10.0.0.12", far, far, "192.0.2.2", "", "delete"},
		{"strict, IPv6, on another uplink", "fd00::12", "2001:db8::8", "2001:db8::8", "2001:db8:f1::2", "", "delete"},
		{"strict, on its uplink", "10.0.0.12", far, far, "198.51.100.2", "", "isp2/strict"},
		{"strict, untranslated", "10.0.0.12", far, far, "10.0.0.12", "", "delete"},
		{"strict, to a network inside", "10.0.0.12", "10.1.0.1", "10.1.0.1", "10.0.0.12", "", "keep"},
		{"strict by a known MAC", "10.0.0.13", far, far, "192.0.2.2", "", "delete"},
		{"not strict by a known MAC", "10.0.0.16", far, far, "192.0.2.2", "", "keep"},
		{"strict perhaps, by an unknown MAC", "10.0.0.99", far, far, "192.0.2.2", "", "delete"},
		{"strict perhaps, by DSCP", "10.0.0.14", far, far, "192.0.2.2", "", "delete"},
		{"strict perhaps, on its uplink", "10.0.0.14", far, far, "198.51.100.2", "", "isp2/strict"},
		{"a balance's member that is not strict", "10.0.0.15", far, far, "192.0.2.2", "", "isp1"},
		{"a balance's member that is strict", "10.0.0.15", far, far, "198.51.100.2", "", "isp2/strict"},
		{"no member's", "10.0.0.15", far, far, "203.0.113.2", "", "routed"},
		{"strict by policy, on another uplink", "10.0.0.17", far, far, "192.0.2.2", "", "delete"},
		{"strict by policy, on its uplink", "10.0.0.17", far, far, "203.0.113.2", "", "routed/strict"},
		{"inside", "10.0.0.10", "10.1.0.1", "10.1.0.1", "10.0.0.10", "", "keep"},
		{"inside, translated", "10.0.0.10", "10.1.0.1", "10.1.0.1", "10.0.0.1", "", "keep"},
		{"to the router", "10.0.0.10", "10.0.0.1", "10.0.0.1", "10.0.0.10", "", "keep"},
		{"to the router's outer address", "10.0.0.10", "198.51.100.2", "198.51.100.2", "10.0.0.10", "", "keep"},
		{"to a forwarded port, from inside", "10.0.0.10", "198.51.100.2", "10.0.0.80", "10.0.0.1", "", "keep"},
		{"from outside, to the primary", far, "192.0.2.2", "10.0.0.80", far, "", "keep"},
		{"from outside, to the second", far, "198.51.100.2", "10.0.0.80", far, "", "isp2"},
		{"from outside, to a strict host", far, "198.51.100.2", "10.0.0.12", far, "", "isp2"},
		{"from outside, to the router", far, "198.51.100.2", "198.51.100.2", far, "", "isp2"},
		{"from outside, IPv6", "2001:db8::8", "2001:db8:f2::2", "fd00::80", "2001:db8::8", "", "isp2"},
		{"from outside, untranslated", far, "10.0.0.80", "10.0.0.80", far, "", "by wan2: isp2 wan3: routed"},
		{"from outside, untranslated, IPv6", "2001:db8::8", "fd00::80", "fd00::80", "2001:db8::8", "", "by wan2: isp2 wan3: routed"},
		{"from outside, untranslated, to the router", far, "10.0.0.1", "10.0.0.1", far, "", "by wan2: isp2 wan3: routed"},
		{"from outside, untranslated, pinned", far, "10.0.0.80", "10.0.0.80", far, "isp2", "keep"},
		{"the router's own, by the primary", "192.0.2.2", far, far, "192.0.2.2", "", "keep"},
		{"the router's own, by the second", "198.51.100.2", far, far, "198.51.100.2", "", "isp2"},
		{"the router's own, from inside's address", "10.0.0.1", far, far, "10.0.0.1", "", "delete"},
		{"the router's own, strict", "192.0.2.2", "8.8.4.4", "8.8.4.4", "192.0.2.2", "", "delete, exposed"},
		{"the router's own, to a network inside", "192.0.2.2", "10.1.0.1", "10.1.0.1", "192.0.2.2", "", "keep"},
		{"translated to another interface's", "10.0.0.10", far, far, "172.16.0.2", "", "delete"},
		{"translated to nobody's", "10.0.0.10", far, far, "192.0.2.77", "", "keep"},
		{"pinned", "10.0.0.11", far, far, "198.51.100.2", "isp2", "keep"},
		{"pinned, and no policy sends it there", "10.0.0.10", far, far, "198.51.100.2", "isp2", "keep"},
		{"pinned, untranslated", "10.0.0.11", far, far, "10.0.0.11", "isp2", "delete"},
		{"pinned, with another's address", "10.0.0.11", far, far, "192.0.2.2", "isp2", "delete"},
		{"pinned to one without NAT", "10.0.0.11", far, far, "10.0.0.11", "routed", "keep"},
		{"pinned strictly", "10.0.0.12", far, far, "198.51.100.2", "isp2/strict", "keep"},
		{"strict, pinned as if it were not", "10.0.0.12", far, far, "198.51.100.2", "isp2", "isp2/strict"},
		{"strict, pinned to another", "10.0.0.12", far, far, "192.0.2.2", "isp1", "delete"},
		{"from outside, pinned", far, "198.51.100.2", "10.0.0.12", far, "isp2", "keep"},
		{"a broadcast", "10.0.0.10", "255.255.255.255", "255.255.255.255", "10.0.0.10", "", "keep"},
		{"link-local", "169.254.0.1", far, far, "169.254.0.1", "", "keep"},
	} {
		t.Run(c.what, func(t *testing.T) {
			f := flow(c.src, c.dst, c.replySrc, c.replyDst)
			f.Mark = 0x5a // others' bits
			for _, n := range j.plan.Numbers {
				if c.mark != "" && n.Name == c.mark {
					f.Mark |= n.Mark
				}
			}
			if got := word(j, j.Decide(f)); got != c.want {
				t.Errorf("%s: %s, not %s", c.what, got, c.want)
			}
		})
	}
	t.Run("a ping from outside is not awaited", func(t *testing.T) {
		f := flow(far, "10.0.0.80", "10.0.0.80", far)
		f.Orig.Proto, f.Orig.HasPorts, f.Orig.ICMPType = ipproto.ICMP, false, 8
		if got := word(j, j.Decide(f)); got != "keep" {
			t.Error(got)
		}
	})
	t.Run("a mark that names no table is as good as none", func(t *testing.T) {
		f := flow("10.0.0.10", far, far, "10.0.0.10")
		for free := uint32(0x01000000); f.Mark == 0; free += 0x01000000 {
			if _, used := j.tables[free]; !used {
				f.Mark = free
			}
		}
		if got := word(j, j.Decide(f)); got != "delete" {
			t.Errorf("with an unknown mark: %s", got)
		}
	})
}
