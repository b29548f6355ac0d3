package integration

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// somebodyElse is what others have on a router: tables of all kinds, one of them with marks in ct
// and packets.
const somebodyElse = `table inet firewall {
	set blocked {
		type ipv4_addr
		flags interval
		elements = { 10.66.0.0/16 }
	}
	counter passed {
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		ip daddr @blocked drop
		counter name passed
	}
}
table ip marks {
	chain pre {
		type filter hook prerouting priority -140; policy accept;
		ct mark set ct mark | 0x00000005
		meta mark set meta mark | 0x00000003
	}
}
table ip6 other {
	chain unused {
	}
}
table arp quiet {
	chain in {
		type filter hook input priority 0; policy accept;
	}
}
`

// occupy puts other people's objects on a router, close to pbr's own.
func (r *router) occupy() {
	r.T().Helper()
	r.NFT(somebodyElse)
	r.IP(
		"rule add priority 9999 from 10.77.0.0/16 lookup 200",
		"rule add priority 11000 fwmark 0x4/0x4 lookup 201 protocol static",
		"route add 10.88.0.0/16 via 192.168.10.10",
		"route add default via 192.0.2.1 table 200",
		"route add unreachable default metric 4000 table 201 proto static",
		"route add 10.89.0.0/16 via 198.51.100.1 proto bird table 200",
	)
	r.IP6(
		"rule add priority 9999 from 2001:db8:77::/48 lookup 200",
		"route add 2001:db8:88::/48 via 2001:db8:10::10",
		"route add default via 2001:db8:f1::1 table 200",
	)
}

// What others have stays as it was, byte for byte, through apply, change and flush; and flush
// leaves nothing of ours.
func TestForeignObjectsStay(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.occupy()
	foreign, ours := r.foreign(), r.ours()
	same := func(t *testing.T, when string) {
		t.Helper()
		if d := diffLines(foreign, r.foreign()); d != "" {
			t.Errorf("after %s others have:\n%s", when, d)
		}
	}
	step := steps.Of(t)
	step.Run("apply", func(t *testing.T) {
		r.apply(twoUplinks)
		same(t, "apply")
		r.inSync()
	})
	step.Run("a change", func(t *testing.T) {
		r.apply(twoUplinks + oneMorePolicy)
		same(t, "a change")
	})
	step.Run("any policy", func(t *testing.T) {
		g := newGenerator(t, 200)
		for range 4 {
			r.apply(r.randomPolicy(g).TOML())
			same(t, "a random policy")
		}
	})
	step.Run("flush, twice", func(t *testing.T) {
		r.must("flush")
		same(t, "flush")
		if d := diffLines(ours, r.ours()); d != "" {
			t.Errorf("flush leaves:\n%s", d)
		}
		if out := r.Run("nft", "list", "tables"); strings.Contains(out, "inet pbr") {
			t.Errorf("flush leaves the table:\n%s", out)
		}
		r.must("flush") // again is not an error
		same(t, "a second flush")
	})
}

// markedTraffic is a router with a connection over the second provider, and others' marks on it.
func markedTraffic(t *testing.T) (*router, *lab.Conn) {
	t.Helper()
	n := lab.Build(lab.New(t), threeISPs())
	for _, isp := range n.ISPs {
		isp.ServeInternet()
	}
	n.LANs["lan"].IP("addr add 192.168.10.11/24 dev up0")
	r := newRouter(n.Router)
	r.NFT(somebodyElse)
	r.apply(twoUplinks)
	c, err := n.LANs["lan"].Dial("udp", netip.MustParseAddr("192.168.10.11"), netip.MustParseAddrPort("9.9.9.9:4000"), lab.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := c.Ask(); err != nil || seen.By != "isp2" {
		t.Fatalf("first answer: %+v, %v", seen, err)
	}
	return r, c
}

var ctMarkPattern = regexp.MustCompile(`dport=4000 .* mark=(\d+)`)

// mark returns the whole ct mark of markedTraffic's connection.
func (r *router) mark() uint32 {
	r.T().Helper()
	out := r.Run("conntrack", "-L", "-p", "udp", "--orig-port-dst", "4000")
	m := ctMarkPattern.FindAllStringSubmatch(out, -1)
	if len(m) != 1 {
		r.T().Fatalf("%d connections to port 4000:\n%s", len(m), out)
	}
	v, err := strconv.ParseUint(m[0][1], 10, 32)
	if err != nil {
		r.T().Fatal(err)
	}
	return uint32(v)
}

// Others' bits of ct marks stay; ours go with flush.
func TestForeignMarkBitsStay(t *testing.T) {
	t.Parallel()
	r, c := markedTraffic(t)
	check := func(t *testing.T, when string, ours bool) {
		t.Helper()
		m := r.mark()
		if m&^defaultMask != 5 {
			t.Errorf("%s: others' bits of the ct mark are 0x%x, not 5", when, m&^defaultMask)
		}
		if (m&defaultMask != 0) != ours {
			t.Errorf("%s: the ct mark is 0x%08x", when, m)
		}
	}
	check(t, "after the first packet", true)
	before := r.mark()
	step := steps.Of(t)
	step.Run("a change leaves the connection where it is", func(t *testing.T) {
		r.apply(twoUplinks + oneMorePolicy)
		check(t, "after a change", true)
		if r.mark() != before {
			t.Errorf("a change made ct mark 0x%08x of 0x%08x", r.mark(), before)
		}
		if seen, err := c.Ask(); err != nil || seen.By != "isp2" {
			t.Errorf("after a change: %+v, %v", seen, err)
		}
	})
	step.Run("flush takes pbr's bits alone", func(t *testing.T) {
		r.must("flush")
		check(t, "after flush", false)
	})
}

// Another mask, other priorities, other names: nothing of the old ones is left.
func TestChangedNumbersLeaveNothing(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]struct {
		edit func(string) string
		mask uint32
	}{
		"mask":       {func(p string) string { return strings.Replace(p, "[pbr]", "[pbr]\nmark-mask = 0x000ff000", 1) }, 0x000ff000},
		"priorities": {func(p string) string { return strings.Replace(p, "[pbr]", "[pbr]\nrule-priority = 20000", 1) }, defaultMask},
		"names": {func(p string) string {
			return strings.NewReplacer(`"isp2"`, `"second"`, `"prefer-isp2"`, `"prefer-second"`).Replace(p)
		}, defaultMask},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, c := markedTraffic(t)
			clean := lab.Build(lab.New(t), threeISPs()).Router
			other := newRouter(clean)
			changed := change.edit(twoUplinks)
			other.apply(changed)
			r.apply(changed)
			if d := diffLines(other.ours(), r.ours()); d != "" {
				t.Errorf("- fresh, + after the change:\n%s", d)
			}
			r.inSync()
			numbers := planMarks(t, r.must("compile", "--dry-run", "--json"))
			if m := r.mark(); m&(defaultMask|change.mask)&^change.mask != 0 {
				t.Errorf("the ct mark has old bits: 0x%08x", m)
			} else if v := m & change.mask &^ r.insideBit(); v != 0 && !numbers[v] {
				t.Errorf("ct mark 0x%08x names no table of the policy", m)
			}
			// The connection may stay or begin again, but its packets get through.
			if _, err := c.Ask(); err != nil {
				if _, err = c.Ask(); err != nil {
					t.Errorf("the open connection: %v", err)
				}
			}
			r.must("flush")
			if m := r.mark(); m&(defaultMask|change.mask) != 0 {
				t.Errorf("after flush the ct mark is 0x%08x", m)
			}
			for _, family := range []string{"-4", "-6"} {
				if out := r.Run("ip", family, "rule"); strings.Count(out, "\n") > 3 {
					t.Errorf("after flush:\n%s", out)
				}
			}
		})
	}
}

// planMarks returns the marks of a plan in JSON.
func planMarks(t *testing.T, plan string) map[uint32]bool {
	t.Helper()
	marks := map[uint32]bool{}
	for _, m := range regexp.MustCompile(`"mark": "(0x[0-9a-f]+)"`).FindAllStringSubmatch(plan, -1) {
		v, err := strconv.ParseUint(m[1], 0, 32)
		if err != nil {
			t.Fatal(err)
		}
		marks[uint32(v)] = true
	}
	if len(marks) == 0 {
		t.Fatal(fmt.Errorf("no marks in the plan"))
	}
	return marks
}
