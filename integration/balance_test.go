package integration

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pbr/integration/lab"
)

// Clients are divided by weight in both families; one that dies loses its own clients alone, to the
// others by their weights, and has them again when it comes back.
func TestBalanceByHash(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 3)
	c.router.apply(c.crowdPolicy(`hash = "src"
members = [{ uplink = "isp1", weight = 3 }, { uplink = "isp2", weight = 2 }, { uplink = "isp3", weight = 1 }]`))
	c.router.inSync()
	for _, v6 := range []bool{false, true} {
		what := map[bool]string{false: "IPv4", true: "IPv6"}[v6]
		clients := c.clients(3000, v6)
		first := c.connects(clients)
		c.byWeight(what, first, map[string]int{"isp1": 3, "isp2": 2, "isp3": 1})
		if n := changed(first, c.connects(clients), ""); n != 0 {
			t.Errorf("%s: %d clients have another member at their second connection", what, n)
		}
		c.dies("isp1")
		second := c.connects(clients)
		if n := changed(first, second, "isp1"); n != 0 {
			t.Errorf("%s: %d clients of others moved when isp1 died", what, n)
		}
		c.byWeight(what+" without isp1", second, map[string]int{"isp2": 2, "isp3": 1})
		c.dies("isp2")
		if n := share(c.connects(clients))["isp3"]; n != len(clients) {
			t.Errorf("%s: isp3 is the only one and has %d of %d clients", what, n, len(clients))
		}
		c.comes("isp2")
		c.comes("isp1")
		c.router.inSync()
		if n := changed(first, c.connects(clients), ""); n != 0 {
			t.Errorf("%s: %d clients have another member after all came back", what, n)
		}
	}
}

// Each set of fields makes the same choice for the same values, and another one for others.
func TestBalanceHashFields(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 2)
	base := lab.Packet{Src: netip.MustParseAddr("10.50.1.1"), Dst: netip.MustParseAddr("9.9.9.9"), Proto: lab.ProtoUDP,
		SPort: 1000, DPort: 443}
	vary := map[string]func(p *lab.Packet, i int){
		"src":   func(p *lab.Packet, i int) { p.Src = addrPlus("10.50.1.0", i) },
		"dst":   func(p *lab.Packet, i int) { p.Dst = addrPlus("9.9.9.0", i) },
		"sport": func(p *lab.Packet, i int) { p.SPort += uint16(i) },
		"dport": func(p *lab.Packet, i int) { p.DPort += uint16(i) },
	}
	for _, fields := range [][]string{{"src"}, {"dst"}, {"src", "dst"}, {"src", "sport"},
		{"src", "dst", "sport", "dport", "proto"}, {"sport", "dport"}} {
		c.router.apply(c.crowdPolicy(fmt.Sprintf("hash = [%s]\nmembers = [{ uplink = \"isp1\" }, { uplink = \"isp2\" }]", quoted(fields))))
		for name, change := range vary {
			packets := make([]lab.Packet, 64)
			for i := range packets {
				packets[i] = base
				change(&packets[i], i)
			}
			c.router.Run("conntrack", "-F")
			got := share(c.deal(packets))
			if both := len(got) == 2; both != slices.Contains(fields, name) || got[""] > 0 {
				t.Errorf("hash over %q, packets that differ by %s: %v", fields, name, got)
			}
		}
		// Pings have no ports: the same one asked twice goes the same way, whatever its identifier.
		pings := make([]lab.Packet, 32)
		for i := range pings {
			pings[i] = lab.Packet{Src: base.Src, Dst: base.Dst, Proto: lab.ProtoICMP, ICMPType: 8, SPort: uint16(i)}
		}
		if got := share(c.deal(pings)); len(got) != 1 || got[""] > 0 {
			t.Errorf("hash over %q: pings of one client go %v", fields, got)
		}
	}
}

func quoted(words []string) string {
	out := ""
	for i, w := range words {
		if i > 0 {
			out += ", "
		}
		out += fmt.Sprintf("%q", w)
	}
	return out
}

// addrPlus is the i-th address after a.
func addrPlus(a string, i int) netip.Addr {
	addr := netip.MustParseAddr(a)
	for range i {
		addr = addr.Next()
	}
	return addr
}

// In turn means exactly in turn, by weight, for connections and not for packets, and through an
// apply that changes nothing.
func TestBalanceInTurn(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 2)
	policy := c.crowdPolicy("method = \"round-robin\"\nmembers = [{ uplink = \"isp1\", weight = 3 }, { uplink = \"isp2\" }]")
	c.router.apply(policy)
	turn := []string{"isp1", "isp1", "isp2", "isp1"}
	for _, v6 := range []bool{false, true} {
		clients := c.clients(101, v6)
		got := c.connects(clients)
		for i, name := range got {
			if name != turn[i%4] {
				t.Fatalf("connection %d goes to %q: %v", i, name, got)
			}
		}
		// Further packets of the same connections, nobody having answered yet, are not dealt out.
		c.router.must("apply")
		next := c.connects(clients[:1])[0]
		if next != turn[101%4] {
			t.Errorf("after an apply of the same policy the turn is %q's, not %q's", next, turn[101%4])
		}
	}
}

func TestBalancePacketsOfOneConnectionAreNotDealtOut(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 2)
	c.router.apply(c.crowdPolicy("method = \"round-robin\"\nmembers = [{ uplink = \"isp1\" }, { uplink = \"isp2\" }]"))
	p := lab.Packet{Src: netip.MustParseAddr("10.50.1.1"), Dst: netip.MustParseAddr("9.9.9.9"), Proto: lab.ProtoUDP,
		SPort: 1000, DPort: 443}
	for round := range 4 {
		p.SPort++
		// One by one: packets that are classified before the first one is on its way out have no
		// connection yet.
		var got []string
		for range 5 {
			got = append(got, c.deal([]lab.Packet{p})...)
		}
		if want := []string{"isp1", "isp2"}[round%2]; share(got)[want] != 5 {
			t.Errorf("connection %d, of %s: its packets went %v", round, want, got)
		}
	}
}

func TestBalanceByChance(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 3)
	c.router.apply(c.crowdPolicy(
		"method = \"random\"\nmembers = [{ uplink = \"isp1\", weight = 3 }, { uplink = \"isp2\" }, { uplink = \"isp3\", weight = 2 }]"))
	c.router.inSync()
	clients := c.clients(3000, false)
	first := c.connects(clients)
	c.byWeight("by chance", first, map[string]int{"isp1": 3, "isp2": 1, "isp3": 2})
	if changed(first, c.connects(clients), "") < 1000 {
		t.Error("the same clients go the same way again: that is not chance")
	}
	c.dies("isp3")
	c.byWeight("by chance without isp3", c.connects(clients), map[string]int{"isp1": 3, "isp2": 1})
}
