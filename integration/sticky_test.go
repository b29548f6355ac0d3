package integration

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// remembered are the clients of a balance's map with the value that each has.
func (c *crowd) remembered(family int) map[string]uint32 {
	c.t.Helper()
	var listed struct {
		Nftables []struct {
			Map struct {
				Elem []json.RawMessage
			}
		}
	}
	out := c.router.Run("nft", "-j", "list", "map", "inet", "pbr", fmt.Sprintf("balance-pool/clients-%d", family))
	if err := json.Unmarshal([]byte(out), &listed); err != nil {
		c.t.Fatalf("listing the clients: %v\n%s", err, out)
	}
	clients := map[string]uint32{}
	for _, o := range listed.Nftables {
		for _, raw := range o.Map.Elem {
			var pair []json.RawMessage
			var key struct{ Elem struct{ Val string } }
			var mark uint32
			if err := json.Unmarshal(raw, &pair); err != nil || len(pair) != 2 {
				c.t.Fatalf("element %s: %v", raw, err)
			}
			if err := json.Unmarshal(pair[0], &key); err != nil {
				c.t.Fatalf("element %s: %v", raw, err)
			}
			if err := json.Unmarshal(pair[1], &mark); err != nil {
				c.t.Fatalf("element %s: %v", raw, err)
			}
			if _, twice := clients[key.Elem.Val]; twice {
				c.t.Errorf("client %s is remembered twice", key.Elem.Val)
			}
			clients[key.Elem.Val] = mark
		}
	}
	return clients
}

// stickyPool deals clients out by chance, and remembers them.
func stickyPool(sticky string, members ...string) string {
	return "method = \"random\"\nmembers = [" + strings.Join(members, ", ") + "]\nsticky = " + sticky
}

const oneWeight = `{ uplink = "isp1" }`

// Ten thousand clients keep their members through everything but the death of these, and then stay
// where they went.
func TestStickyClients(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 3)
	three := []string{`{ uplink = "isp1", weight = 2 }`, `{ uplink = "isp2" }`, `{ uplink = "isp3" }`}
	c.router.apply(c.crowdPolicy(stickyPool(`"1h"`, three...)))
	c.router.inSync()
	clients := c.clients(10000, false)
	first := c.connects(clients)
	step := steps.Of(t)
	step.Run("ten thousand clients are dealt by weight, and remembered", func(t *testing.T) {
		c.byWeight("ten thousand clients", first, map[string]int{"isp1": 2, "isp2": 1, "isp3": 1})
		if n := len(c.remembered(4)); n != len(clients) {
			t.Errorf("%d of %d clients are remembered", n, len(clients))
		}
	})
	same := func(t *testing.T, when string, before []string) {
		t.Helper()
		if n := changed(before, c.connects(clients), ""); n != 0 {
			t.Errorf("%s: %d of %d clients have another member", when, n, len(clients))
		}
		c.router.inSync()
	}
	step.Run("none moves at the next connection, by an apply, or by an edit", func(t *testing.T) {
		same(t, "at their second connection", first)
		c.router.must("apply")
		same(t, "after the same policy", first)
		c.router.apply(c.crowdPolicy(stickyPool(`"2h"`, `{ uplink = "isp1" }`, `{ uplink = "isp2", weight = 5 }`, `{ uplink = "isp3" }`)))
		same(t, "after a change of weights and of time", first)
	})

	c.dies("isp1")
	second := c.connects(clients)
	if n := changed(first, second, "isp1"); n != 0 {
		t.Errorf("%d clients of others moved when isp1 died", n)
	}
	if s := share(second); s["isp1"] != 0 || s[""] != 0 {
		t.Errorf("with isp1 dead clients go %v", s)
	}
	same(t, "at their next connection after the death", second)
	step.Run("a member that is back takes none", func(t *testing.T) {
		c.comes("isp1")
		same(t, "after isp1 came back", second)
		if n := len(c.remembered(4)); n != len(clients) {
			t.Errorf("%d of %d clients are remembered", n, len(clients))
		}
	})

	step.Run("a member less, and one more: clients of others do not notice", func(t *testing.T) {
		c.router.apply(c.crowdPolicy(stickyPool(`"2h"`, `{ uplink = "isp1" }`, `{ uplink = "isp3" }`)))
		third := c.connects(clients)
		if n := changed(second, third, "isp2"); n != 0 {
			t.Errorf("%d clients of others moved when isp2 left the balance", n)
		}
		c.router.apply(c.crowdPolicy(stickyPool(`"2h"`, three...)))
		same(t, "after isp2 joined again", third)
	})
}

// A client is a /64, or what the policy says; its addresses share a member.
func TestStickyClientsIPv6(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 2)
	for prefix, sticky := range map[int]string{64: `"1h"`, 56: `{ time = "1h", prefix6 = 56 }`, 128: `{ time = "1h", prefix6 = 128 }`} {
		c.router.must("flush")
		c.router.apply(c.crowdPolicy(stickyPool(sticky, oneWeight, `{ uplink = "isp2" }`)))
		c.router.inSync()
		clients := c.clients(300, true)
		members := map[netip.Prefix]map[string]bool{}
		var near []netip.Addr
		for _, a := range clients {
			b := a.As16()
			for i := range 4 {
				b[15] = byte(i)
				b[7] = b[7]&^3 | byte(i) // another /64 of the same /56
				near = append(near, netip.AddrFrom16(b))
			}
		}
		for i, by := range c.connects(near) {
			p, _ := near[i].Prefix(prefix)
			if members[p] == nil {
				members[p] = map[string]bool{}
			}
			members[p][by] = true
		}
		for p, m := range members {
			if len(m) != 1 || m[""] {
				t.Fatalf("prefix6 %d: addresses of %s have the members %v", prefix, p, m)
			}
		}
		if got := len(c.remembered(6)); got != len(members) {
			t.Errorf("prefix6 %d: %d clients are remembered, not %d", prefix, got, len(members))
		}
	}
}

// A full map is reported and counted, and its clients are served anyway.
func TestStickyMapFull(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 2)
	c.router.apply(c.crowdPolicy(stickyPool(`{ time = "1h", size = 100 }`, oneWeight, `{ uplink = "isp2" }`)))
	clients := c.clients(150, false)
	step := steps.Of(t)
	step.Run("none is lost", func(t *testing.T) {
		if s := share(c.connects(clients)); s[""] != 0 {
			t.Errorf("clients go %v", s)
		}
	})
	step.Run("as many as there is room for are remembered", func(t *testing.T) {
		if n := len(c.remembered(4)); n != 100 {
			t.Errorf("%d clients are remembered, not 100", n)
		}
	})
	step.Run("the others are counted", func(t *testing.T) {
		out := c.router.Run("nft", "list", "counter", "inet", "pbr", "balance-pool/full")
		if !strings.Contains(out, "packets 50 ") {
			t.Errorf("50 clients had no room:\n%s", out)
		}
		c.router.inSync()
	})
	step.Run("a larger map has room for all", func(t *testing.T) {
		c.router.apply(c.crowdPolicy(stickyPool(`{ time = "1h", size = 200 }`, oneWeight, `{ uplink = "isp2" }`)))
		c.connects(clients)
		if n := len(c.remembered(4)); n != 150 {
			t.Errorf("%d clients are remembered in a larger map, not 150", n)
		}
	})
}

// Somebody else's bits stay as they are, in packets and in connections.
func TestStickyAndForeignMarks(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 2)
	c.router.NFT(`table inet somebody {
	counter kept { }
	counter lost { }
	chain pre {
		type filter hook prerouting priority raw; policy accept;
		iifname "br-lan" meta mark set 0x00000005
	}
	chain conn {
		type filter hook prerouting priority -180; policy accept;
		ip saddr 10.50.128.0/17 ct mark set 0x00000070
	}
	chain post {
		type filter hook postrouting priority 50; policy accept;
		ip saddr 10.50.0.0/16 meta mark & 0x00ffffff != 0x5 counter name lost
		ip saddr 10.50.128.0/17 ct mark & 0x00ffffff != 0x70 counter name lost
		ip saddr 10.50.0.0/17 ct mark & 0x00ffffff != 0 counter name lost
		ip saddr 10.50.0.0/16 counter name kept
	}
}
`)
	c.router.apply(c.crowdPolicy(stickyPool(`"1h"`, oneWeight, `{ uplink = "isp2" }`)))
	clients := c.clients(1000, false)
	first := c.connects(clients)
	second := c.connects(clients)
	half := netip.MustParsePrefix("10.50.0.0/17")
	moved := map[bool]int{}
	for i, a := range clients {
		if first[i] == "" || second[i] == "" {
			t.Fatalf("a packet of %s is lost", a)
		}
		if first[i] != second[i] {
			moved[half.Contains(a)]++
		}
	}
	step := steps.Of(t)
	step.Run("a foreign mark of packets moves nobody", func(t *testing.T) {
		if moved[true] != 0 {
			t.Errorf("%d clients whose packets have a foreign mark moved", moved[true])
		}
	})
	step.Run("a foreign mark of connections does", func(t *testing.T) {
		if moved[false] < 100 {
			t.Errorf("%d clients whose connections have a foreign mark moved: the map cannot know them", moved[false])
		}
	})
	for name, want := range map[string]bool{"kept": true, "lost": false} {
		t.Run(name, func(t *testing.T) {
			if out := c.router.Run("nft", "list", "counter", "inet", "somebody", name); strings.Contains(out, "packets 0 ") == want {
				t.Errorf("counter %s:\n%s", name, out)
			}
		})
	}
}

// A client is forgotten some time after its last new connection; each new one puts that off.
func TestStickyTime(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 2)
	c.router.apply(c.crowdPolicy(stickyPool(`"1s"`, oneWeight, `{ uplink = "isp2" }`)))
	clients := c.clients(200, false)
	first := c.connects(clients)
	step := steps.Of(t)
	step.Run("at once none moves", func(t *testing.T) {
		if n := changed(first, c.connects(clients), ""); n != 0 {
			t.Errorf("%d clients moved at once", n)
		}
	})
	step.Run("when their time is over they are forgotten", func(t *testing.T) {
		lab.WaitFor(t, "all clients to be forgotten", func() bool { return len(c.remembered(4)) == 0 })
		if n := changed(first, c.connects(clients), ""); n == 0 {
			t.Error("after their time the clients have the same members: nobody has forgotten them")
		}
	})
	step.Run("another mask leads nobody astray", func(t *testing.T) {
		// A change of mask makes other numbers of the members; no client is led astray by old ones.
		c.router.apply(strings.Replace(c.crowdPolicy(stickyPool(`"1h"`, oneWeight, `{ uplink = "isp2" }`)), "[pbr]",
			"[pbr]\nmark-mask = 0x0000ff00", 1))
		third := c.connects(clients)
		if s := share(third); s[""] != 0 {
			t.Errorf("under another mask clients go %v", s)
		}
		if n := changed(third, c.connects(clients), ""); n != 0 {
			t.Errorf("under another mask %d clients moved", n)
		}
		c.router.inSync()
	})
}
