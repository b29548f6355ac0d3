package walk

import (
	"net/netip"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// TestMartians says what the kernel does with addresses that no packet from an interface may have;
// each case was sent through Linux 6.18.
func TestMartians(t *testing.T) {
	all := func(table uint32, family plan.Family, dst string) plan.Route {
		r := way(table, dst, "wan")
		r.Family = family
		return r
	}
	facts := &Facts{Known: true, Rules: kernelRules(),
		Links:  map[string]Link{"lan": {Addrs: []netip.Prefix{prefix("192.168.10.1/24")}}, "wan": {}},
		Routes: []plan.Route{all(plan.MainTable, plan.IPv4, "0.0.0.0/0"), all(plan.MainTable, plan.IPv6, "::/0")}}
	r, err := NewRouter(&plan.Plan{}, facts)
	if err != nil {
		t.Fatal(err)
	}
	verdict := func(packet string) string {
		src, dst, _ := strings.Cut(packet, " ")
		w := r.Send(&Packet{IIF: "lan", Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Proto: 17,
			SPort: 4000, DPort: 5000, CTState: StateNew})[0]
		return strings.TrimSpace(w.Fate.String() + " " + w.In)
	}
	for packet, want := range map[string]string{
		"192.168.10.5 8.8.8.8":            "forward",
		"0.1.2.3 8.8.8.8":                 "forward",
		"192.168.10.5 240.0.0.1":          "forward",
		"127.0.0.1 8.8.8.8":               "drop source check",
		"127.0.0.1 224.0.0.1":             "drop source check",
		"224.0.0.1 8.8.8.8":               "drop source check",
		"255.255.255.255 8.8.8.8":         "drop source check",
		"0.0.0.0 8.8.8.8":                 "drop source check",
		"0.0.0.0 192.168.10.1":            "drop source check",
		"192.168.10.5 127.0.0.1":          "drop destination check",
		"192.168.10.5 0.0.0.0":            "drop destination check",
		"0.0.0.0 224.0.0.1":               "local",
		"0.0.0.0 255.255.255.255":         "local",
		"192.168.10.5 192.168.10.1":       "local",
		"2001:db8:10::5 2001:db8:aaaa::1": "forward",
		"::1 2001:db8:aaaa::1":            "drop source check",
		"ff02::1 2001:db8:aaaa::1":        "drop source check",
		":: 2001:db8:aaaa::1":             "drop source check",
		"fe80::7 2001:db8:aaaa::1":        "unreachable source check",
		"2001:db8:10::5 ::1":              "drop destination check",
		":: ff02::1":                      "local",
	} {
		t.Run(packet, func(t *testing.T) {
			if got := verdict(packet); got != want {
				t.Errorf("%s: %s, not %s", packet, got, want)
			}
		})
	}
	// route_localnet lets loopback addresses in; whether a source is valid is then for the check of
	// sources.
	facts.Links["lan"] = Link{Addrs: facts.Links["lan"].Addrs, Source: SourceCheck{RouteLocalnet: true}}
	for packet, want := range map[string]string{
		"192.168.10.5 127.0.0.1": "local",
		"127.0.0.1 8.8.8.8":      "drop source check",
		"2001:db8:10::5 ::1":     "drop destination check",
	} {
		t.Run(packet, func(t *testing.T) {
			if got := verdict(packet); got != want {
				t.Errorf("with route_localnet: %s: %s, not %s", packet, got, want)
			}
		})
	}
}
