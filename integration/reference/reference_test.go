package reference

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// office is a policy small enough to be read at a glance.
func office() Evaluator {
	net := func(s string) Span { p := netip.MustParsePrefix(s); return Span{p.Addr(), lastOf(p)} }
	return Evaluator{
		Policy: &Policy{
			MainFirst: "specific",
			Uplinks: []Uplink{
				{Name: "isp1", Interface: "wan1", Gateway4: "192.0.2.1", Gateway6: "fe80::1", NAT: "masquerade"},
				{Name: "isp2", Interface: "wan2", Gateway4: "198.51.100.1", NAT: "203.0.113.7"},
			},
			Tables: []Table{
				{Name: "prefer-2", Routes: []Route{{Uplink: "isp2", Distance: 1}, {Uplink: "isp1", Distance: 2}}},
				{Name: "only-2", Strict: true, Routes: []Route{{Uplink: "isp2", Distance: 1}}},
				{Name: "shared", Routes: []Route{{Uplink: "isp1", Distance: 1}, {Uplink: "isp2", Distance: 1}}},
			},
			HasDefault: true,
			Default:    []Route{{Uplink: "isp1", Distance: 1}},
			Policies: []Class{
				{Name: "kept", Src: []AddrItem{{Span: net("192.168.1.5/32")}}, Default: true},
				{Name: "net", Src: []AddrItem{{Span: net("192.168.1.0/24")}, {Not: true, Span: net("192.168.1.9/32")}}, Table: "prefer-2"},
				{Name: "strict", DSCP: []NumItem{{From: 46, To: 46}}, Table: "only-2"},
				{Name: "ports", DPort: []NumItem{{From: 443, To: 443}}, Table: "shared"},
				{Name: "local", From: []NameItem{{Name: "local"}}, DPort: []NumItem{{From: 53, To: 53}}, Uplink: "isp2"},
			},
			Rules: []Rule{
				{Name: "last", Src: []AddrItem{{Span: net("192.168.2.0/24")}}, Action: "drop"},
				{Name: "first", Priority: 1, Src: []AddrItem{{Span: net("192.168.2.7/32")}}, Uplink: "isp2"},
			},
		},
		Host: &Host{
			Addrs: map[string][]netip.Prefix{
				"lan":  {netip.MustParsePrefix("192.168.1.1/24")},
				"wan1": {netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8:1::2/64")},
				"wan2": {netip.MustParsePrefix("198.51.100.2/24")},
			},
			Main: []MainRoute{{Dst: netip.MustParsePrefix("10.0.0.0/8"), Dev: "lan"}},
		},
	}
}

func TestFirst(t *testing.T) {
	one := Way{Dev: "wan1", Src: addr("192.0.2.2")}
	two := Way{Dev: "wan2", Src: addr("203.0.113.7")}
	for _, row := range []struct {
		what string
		k    Packet
		want []Way
	}{
		{"default = true stays on default", Packet{IIF: "lan", Src: addr("192.168.1.5"), Dst: addr("9.9.9.9"), Proto: 17}, []Way{one}},
		{"a network", Packet{IIF: "lan", Src: addr("192.168.1.6"), Dst: addr("9.9.9.9"), Proto: 17}, []Way{two}},
		{"a host excepted from it", Packet{IIF: "lan", Src: addr("192.168.1.9"), Dst: addr("9.9.9.9"), Proto: 17}, []Way{one}},
		{"main's specific routes come first", Packet{IIF: "lan", Src: addr("192.168.1.6"), Dst: addr("10.1.1.1"), Proto: 17},
			[]Way{{Dev: "lan", Src: addr("192.168.1.6")}}},
		{"link-local destinations are not classified", Packet{IIF: "lan", Src: addr("192.168.1.6"),
			Dst: addr("169.254.1.1"), Proto: 17}, []Way{one}},
		{"for the router itself", Packet{IIF: "lan", Src: addr("192.168.1.6"), Dst: addr("198.51.100.2"), Proto: 17}, []Way{{}}},
		{"strict and no route", Packet{IIF: "lan", Src: addr("2001:db8::5"), Dst: addr("2001:db8:9::9"), Proto: 17, DSCP: 46}, []Way{{}}},
		{"no route and not strict: default", Packet{IIF: "lan", Src: addr("2001:db8::5"), Dst: addr("2001:db8:9::9"), Proto: 6, DPort: 443},
			[]Way{{Dev: "wan1", Src: addr("2001:db8:1::2")}}},
		{"shared", Packet{IIF: "lan", Src: addr("172.16.0.1"), Dst: addr("9.9.9.9"), Proto: 6, DPort: 443}, []Way{one, two}},
		{"ports are of TCP and UDP", Packet{IIF: "lan", Src: addr("172.16.0.1"), Dst: addr("9.9.9.9"), Proto: 50}, []Way{one}},
		{"a numbered rule first", Packet{IIF: "lan", Src: addr("192.168.2.7"), Dst: addr("9.9.9.9"), Proto: 17}, []Way{two}},
		{"drop", Packet{IIF: "lan", Src: addr("192.168.2.8"), Dst: addr("9.9.9.9"), Proto: 17}, []Way{{}}},
		{"from an uplink nothing is classified", Packet{IIF: "wan2", Src: addr("192.168.1.6"), Dst: addr("9.9.9.9"),
			Proto: 17}, []Way{one}},
		{"local", Packet{Dst: addr("9.9.9.9"), Proto: 17, DPort: 53}, []Way{two}},
		{"local, not meant", Packet{Dst: addr("9.9.9.9"), Proto: 17, DPort: 54}, []Way{one}},
		{"local, bound to an uplink's address", Packet{Src: addr("198.51.100.2"), Dst: addr("9.9.9.9"), Proto: 17, DPort: 54}, []Way{two}},
	} {
		if got := office().First(row.k); !slices.Equal(got, row.want) {
			t.Errorf("%s: %+v, not %+v", row.what, got, row.want)
		}
	}
}

func TestMainFirst(t *testing.T) {
	static := Packet{IIF: "lan", Src: addr("192.168.1.6"), Dst: addr("10.1.1.1"), Proto: 17}
	connected := Packet{IIF: "lan", Src: addr("192.168.1.6"), Dst: addr("192.168.1.7"), Proto: 17}
	for mode, want := range map[string][2]string{
		"specific": {"lan", "lan"}, "connected": {"wan2", "lan"}, "off": {"wan2", "wan2"},
	} {
		e := office()
		e.Policy.MainFirst = mode
		if got := [2]string{e.First(static)[0].Dev, e.First(connected)[0].Dev}; got != want {
			t.Errorf("main-first %s: static and connected leave through %v, not %v", mode, got, want)
		}
	}
}

func TestSpanText(t *testing.T) {
	for want, s := range map[string]Span{
		"10.0.0.1":                {addr("10.0.0.1"), addr("10.0.0.1")},
		"10.0.0.0/30":             {addr("10.0.0.0"), addr("10.0.0.3")},
		"10.0.0.1-10.0.0.3":       {addr("10.0.0.1"), addr("10.0.0.3")},
		"2001:db8::/64":           {addr("2001:db8::"), addr("2001:db8::ffff:ffff:ffff:ffff")},
		"2001:db8::1-2001:db8::f": {addr("2001:db8::1"), addr("2001:db8::f")},
	} {
		if got := s.String(); got != want {
			t.Errorf("%v: %s, not %s", s, got, want)
		}
	}
}

// The same seed makes the same policies and packets: a failure can be repeated.
func TestSameSeedSamePolicy(t *testing.T) {
	world := World{
		Arrivals: []string{"lan"}, Uplinks: office().Policy.Uplinks,
		Sources:      []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("2001:db8:1::/48")},
		SourceNets:   []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")},
		Destinations: []netip.Prefix{netip.MustParsePrefix("9.0.0.0/16"), netip.MustParsePrefix("2001:db8:9::/48")},
	}
	run := func(seed uint64) (string, Packet) {
		g := &Generator{Rand: rand.New(rand.NewPCG(seed, 0)), World: world}
		return g.Policy().TOML(), g.Packet()
	}
	text, packet := run(1)
	if again, packetAgain := run(1); again != text || packetAgain != packet {
		t.Error("one seed makes two policies")
	}
	if other, _ := run(2); other == text {
		t.Error("two seeds make one policy")
	}
}
