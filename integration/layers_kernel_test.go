package integration

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pbr/compiler/layers"
	"pbr/compiler/plan"
	"pbr/compiler/walk"
	"pbr/integration/lab"
)

const policiesOfEveryStructure = 19

// everyStructure is a policy whose maps are of every structure in one form or another. Its policies
// overlap.
const everyStructure = `
pbr = { offload = "off" }
uplink = [
  { name = "isp1", interface = "wan1", gateway = "192.0.2.1",    gateway6 = "2001:db8:f1::1", nat = "masquerade", check = "none" },
  { name = "isp2", interface = "wan2", gateway = "198.51.100.1", gateway6 = "2001:db8:f2::1", nat = "masquerade", check = "none" },
]
default = { routes = [{ uplink = "isp1" }] }
policy = [
  { name = "tuple",       src = "10.50.1.1", dst = "8.8.1.1", proto = "udp", dport = 53, uplink = "isp2" },
  { name = "tuple6",      src = "2001:db8:50::1", dst = "2606:4700::1", proto = "udp", dport = 53, uplink = "isp2" },
  { name = "masks",       src = "10.50.1.0/24", dst = "8.8.0.0/20", proto = "tcp", dport = [80, 443], uplink = "isp2" },
  { name = "masks6",      src = "2001:db8:50:1::/64", dst = "2606:4700::/48", proto = "tcp", dport = 443, uplink = "isp2" },
  { name = "ranges",      src = "10.50.2.7-10.50.2.19", dst = "8.8.2.0/24", proto = "udp", sport = "1000-2000", dport = "5060-5069",
    uplink = "isp2" },
  { name = "ranges6",     src = "2001:db8:50:2::7-2001:db8:50:2::1f", proto = "udp", dport = "5060-5069", uplink = "isp2" },
  { name = "from",        from = "br-lan", src = "10.50.3.0/24", proto = "tcp", dport = 22, uplink = "isp2" },
  { name = "from-other",  from = "br-guest", src = "10.50.3.0/24", uplink = "isp2" },
  { name = "not",         src = "10.50.4.0/24", dst = "!8.8.4.0/24", uplink = "isp2" },
  { name = "mail",        dst = "8.8.5.0/24", proto = "tcp", dport = [25, "465-587"], uplink = "isp2" },
  { name = "esp",         src = "10.50.0.0/16", proto = "esp", uplink = "isp2" },
  { name = "host",        src = "10.50.6.1", uplink = "isp2" },
  { name = "host2",       src = ["10.50.6.3", "10.50.6.200"], uplink = "isp2" },
  { name = "span",        src = "10.50.6.2-10.50.6.77", uplink = "isp2" },
  { name = "span6",       src = "2001:db8:50:6::2-2001:db8:50:6::4d", uplink = "isp2" },
  { name = "wide",        src = "10.50.0.0/20", dst = "8.8.0.0/16", proto = ["tcp", "udp"], uplink = "isp2" },
  { name = "dst",         dst = "9.9.0.0/17", uplink = "isp2" },
  { name = "dst6",        dst = "2a00:1450::/32", uplink = "isp2" },
  { name = "six",         ipv = 6, proto = "tcp", uplink = "isp2" },
]
`

// Packets at both ends of all intervals, and next to them, are counted by the policy that the list
// has for them, whatever the classification is made of.
func TestBoundariesInEveryStructure(t *testing.T) {
	t.Parallel()
	n := lab.Build(lab.New(t), propertySpec())
	r := newRouter(n.Router)
	wires := n.Wires()
	met := map[string]int{}
	packets := boundaryPackets()
	var want map[string]int
	for _, form := range []layers.Form{layers.List, layers.Cheapest, layers.Maps, layers.Masks} {
		p := r.applyAs(everyStructure, form, nil)
		if want == nil {
			want = countedBy(t, p, packets)
		}
		structures(p, met)
		r.Run("conntrack", "-F")
		before := r.policyCounters()
		sendAll(t, wires, packets)
		after := r.policyCounters()
		if len(after) != policiesOfEveryStructure || len(want) != policiesOfEveryStructure {
			t.Fatalf("%d policies have counters, and not all of %d count: %v", len(after), policiesOfEveryStructure, want)
		}
		for name, packets := range after {
			if got := packets - before[name]; got != want[name] {
				t.Errorf("form %d: %s counts %d packets, not %d", form, name, got, want[name])
			}
		}
	}
	for _, kind := range []string{"exact", "masked", "intervals", "exact of several fields", "masked of several fields",
		"intervals of several fields"} {
		if met[kind] == 0 {
			t.Errorf("no form had a map of kind %q, only %v", kind, met)
		}
	}
	t.Logf("%d packets in each form; %v", len(packets), met)
}

// boundaryPackets combines addresses, ports and protocols at which something in everyStructure
// begins or ends. No two are of one connection.
func boundaryPackets() (out []walk.Packet) {
	fours := [2][]string{
		{"10.49.255.255", "10.50.1.0", "10.50.1.1", "10.50.1.2", "10.50.1.255", "10.50.2.6", "10.50.2.7",
			"10.50.2.19", "10.50.2.20", "10.50.3.0", "10.50.3.255",
			"10.50.4.0", "10.50.4.255", "10.50.5.0", "10.50.6.1", "10.50.6.2", "10.50.6.3", "10.50.6.77",
			"10.50.6.78", "10.50.6.200", "10.50.15.255", "10.50.16.0", "10.50.255.255"},
		{"8.8.1.1", "8.8.1.2", "8.8.2.0", "8.8.2.255", "8.8.3.255", "8.8.4.0", "8.8.4.255", "8.8.5.0", "8.8.15.255",
			"8.8.16.0", "8.9.0.0", "9.9.0.0", "9.9.127.255", "9.9.128.0"},
	}
	sixes := [2][]string{
		{"2001:db8:50::1", "2001:db8:50::2", "2001:db8:50:1::", "2001:db8:50:1:ffff:ffff:ffff:ffff", "2001:db8:50:2::6",
			"2001:db8:50:2::7", "2001:db8:50:2::1f", "2001:db8:50:2::20",
			"2001:db8:50:6::1", "2001:db8:50:6::2", "2001:db8:50:6::4d", "2001:db8:50:6::4e"},
		{"2606:4700::1", "2606:4700::2", "2606:4700:0:ffff::", "2606:4700:1::", "2a00:1450::", "2a00:1450:ffff::1", "2a00:1451::"},
	}
	services := []struct {
		proto        uint8
		sport, dport uint16
	}{
		{17, 999, 53}, {17, 1000, 5060}, {17, 2000, 5069}, {17, 2001, 5060}, {17, 1500, 5059}, {17, 1501, 5070}, {17, 1, 54},
		{6, 1, 22}, {6, 2, 25}, {6, 3, 80}, {6, 4, 443}, {6, 5, 464}, {6, 6, 465}, {6, 7, 587}, {6, 8, 588}, {50, 0, 0},
	}
	at := func(iif, src, dst string, proto uint8, sport, dport uint16) {
		out = append(out, walk.Packet{IIF: iif, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst),
			Proto: proto, SPort: sport, DPort: dport, CTState: walk.StateNew})
	}
	at("br-lan", "10.50.1.1", "8.8.1.1", 17, 3, 53)
	at("br-guest", "10.50.3.1", "8.8.1.1", 17, 3, 53)
	at("br-guest", "10.50.3.1", "8.8.1.1", 6, 3, 22)
	for _, family := range [][2][]string{fours, sixes} {
		for i, src := range family[0] {
			for j, dst := range family[1] {
				// A third of all combinations, every value with several others.
				for k := (i + j) % 3; k < len(services); k += 3 {
					s := services[k]
					at("br-lan", src, dst, s.proto, s.sport, s.dport)
				}
			}
		}
	}
	return out
}

// countedBy returns how many of the packets the plan's counters count.
func countedBy(t *testing.T, p *plan.Plan, packets []walk.Packet) map[string]int {
	t.Helper()
	e, err := walk.New(&p.Ruleset)
	if err != nil {
		t.Fatal(err)
	}
	w, counts := e.Walker(), map[string]int{}
	for i := range packets {
		r, err := w.Walk("classify", &packets[i])
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range r.Counters {
			counts[name]++
		}
	}
	return counts
}

func sendAll(t *testing.T, wires map[string]*lab.Wire, packets []walk.Packet) {
	t.Helper()
	lab.Pinned(t, func() error {
		for i := range packets {
			p := &packets[i]
			err := wires[strings.TrimPrefix(p.IIF, "br-")].Send(lab.Packet{ID: uint64(i + 1), Src: p.Src, Dst: p.Dst,
				Proto: p.Proto, SPort: p.SPort, DPort: p.DPort, TCPFlags: lab.TCPSyn})
			if err != nil {
				return fmt.Errorf("sending %+v: %w", p, err)
			}
		}
		return wires["lan"].AwaitDelivery()
	})
	for _, w := range wires {
		if _, err := w.Drain(); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	counterLines = regexp.MustCompile(`counter (policy-\S+) \{[^}]*?packets (\d+)`)
	elementLines = regexp.MustCompile(`counter packets (\d+) bytes \d+ comment "(policy-[^"]+)"`)
)

// policyCounters reads how many packets each policy has counted: in its counter, or in its elements
// of maps.
func (r *router) policyCounters() map[string]int {
	r.T().Helper()
	out := map[string]int{}
	add := func(name, packets string) {
		n, _ := strconv.Atoi(packets)
		out[name] += n
	}
	listing := r.Run("nft", "list", "table", "inet", "pbr")
	for _, m := range counterLines.FindAllStringSubmatch(listing, -1) {
		add(m[1], m[2])
	}
	for _, m := range elementLines.FindAllStringSubmatch(listing, -1) {
		add(m[2], m[1])
	}
	return out
}
