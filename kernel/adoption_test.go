package kernel

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
	"pbr/kernel/adopt"
	"pbr/kernel/conntrack"
)

// steering is a ruleset with base chains of some rules each.
func steering(pre, nat, forward int) *plan.Ruleset {
	rules := func(n int) []plan.ChainRule { return make([]plan.ChainRule, n) }
	r := &plan.Ruleset{Chains: []plan.Chain{
		{Name: "regular", Rules: rules(1)},
		{Name: "prerouting", Kind: "filter", Hook: "prerouting", Rules: rules(pre)},
	}}
	if nat > 0 {
		r.Chains = append(r.Chains, plan.Chain{Name: "nat", Kind: "nat", Hook: "postrouting", Rules: rules(nat)})
	}
	if forward > 0 {
		r.Chains = append(r.Chains, plan.Chain{Name: "fw", Kind: "filter", Hook: "forward", Rules: rules(forward)})
	}
	return r
}

// with returns a ruleset with one base chain more, of one rule.
func with(r *plan.Ruleset, name, hook string) *plan.Ruleset {
	r.Chains = append(r.Chains, plan.Chain{Name: name, Kind: "filter", Hook: hook, Rules: make([]plan.ChainRule, 1)})
	return r
}

// TestTableMade: somebody removed what steers new connections; an edit that adds a base chain did
// not.
func TestTableMade(t *testing.T) {
	none := &plan.Ruleset{}
	for _, c := range []struct {
		name             string
		have, want, last *plan.Ruleset
		made             bool
	}{
		{"first apply", none, steering(3, 1, 0), nil, true},
		{"nothing wanted", steering(3, 1, 0), none, nil, false},
		{"in sync", steering(3, 1, 0), steering(3, 1, 0), steering(3, 1, 0), false},
		{"the table was deleted", none, steering(3, 1, 0), steering(3, 1, 0), true},
		{"rules were flushed", steering(0, 0, 0), steering(3, 0, 0), nil, true},
		{"a rule was deleted", steering(2, 1, 0), steering(3, 1, 0), steering(3, 1, 0), true},
		{"the NAT chain was deleted", steering(3, 0, 0), steering(3, 1, 0), steering(3, 1, 0), true},
		{"an edit adds NAT", steering(3, 0, 0), steering(3, 1, 0), steering(3, 0, 0), false},
		{"an edit adds offload", steering(3, 1, 0), steering(3, 1, 1), steering(3, 1, 0), false},
		{"an edit adds the first tunnel", steering(3, 1, 0),
			with(steering(3, 1, 0), "tunnel-exit", "postrouting"), steering(3, 1, 0), false},
		{"and what was left is not known", steering(3, 1, 0),
			with(steering(3, 1, 0), "tunnel-exit", "postrouting"), nil, false},
		{"the tunnels' chain was deleted", steering(3, 1, 0), with(steering(3, 1, 0), "tunnel-exit", "postrouting"),
			with(steering(3, 1, 0), "tunnel-exit", "postrouting"), true},
		{"the chain that pins was deleted", steering(3, 1, 0), with(steering(3, 1, 0), "postrouting", "postrouting"), nil, true},
		{"an edit needs fewer rules", steering(3, 1, 0), steering(2, 1, 0), steering(3, 1, 0), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if made := tableMade(c.have, c.want, c.last); made != c.made {
				t.Errorf("%s: made is %v", c.name, made)
			}
		})
	}
}

// TestLateAnswers: what begins with an answer to a flushed connection, and has taken its place, is
// found until its time is over.
func TestLateAnswers(t *testing.T) {
	tuple := func(src, dst string, sport, dport uint16) conntrack.Tuple {
		return conntrack.Tuple{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Proto: 17, SPort: sport,
			DPort: dport, HasPorts: true}
	}
	inside, answer := tuple("192.0.2.2", "198.18.3.3", 5000, 4000), tuple("198.18.3.3", "192.0.2.2", 4000, 5000)
	now := time.Now()
	late := lateAnswers(nil).with([]flushed{{&conntrack.Flow{Orig: inside, Reply: answer}, []lateAnswer{{answer, inside}}}},
		now.Add(time.Second))
	flows := []conntrack.Flow{
		{Orig: tuple("198.18.3.3", "192.0.2.2", 4001, 5000), Reply: tuple("192.0.2.2", "198.18.3.3", 5000, 4001)},
		{Orig: answer, Reply: inside},
		{Orig: answer, Reply: tuple("192.0.2.2", "198.18.3.3", 5000, 4109)}, // the way inside was taken
	}
	if begun := late.among(flows); len(begun) != 1 || begun[0].Flow != &flows[1] {
		t.Errorf("%+v", begun)
	}
	if late.forget(now.Add(2 * time.Second)); len(late.among(flows)) != 0 {
		t.Errorf("%v is not forgotten", late)
	}
}

// TestNextSweep: looks for late answers are as far apart as the deletion is ago, and end with the
// answers' time.
func TestNextSweep(t *testing.T) {
	now := time.Now()
	gone := []flushed{{&conntrack.Flow{}, []lateAnswer{{}}}}
	late := lateAnswers(nil).with(gone, now.Add(lateTime))
	for _, c := range []struct{ ago, next time.Duration }{
		{0, firstSweep}, {firstSweep, firstSweep}, {3 * time.Second, 3 * time.Second}, {time.Minute, time.Minute}, {lateTime, 0},
	} {
		if next := late.nextSweep(now.Add(c.ago)); next != c.next {
			t.Errorf("%v after the deletion: next in %v, not %v", c.ago, next, c.next)
		}
	}
	if next := lateAnswers(nil).nextSweep(now); next != 0 {
		t.Errorf("without answers: next in %v", next)
	}
}

// TestWithoutAnswers: answers of both IP versions are dropped, with ports and without, and nothing
// else.
func TestWithoutAnswers(t *testing.T) {
	a := netip.MustParseAddr
	answers := []conntrack.Tuple{
		{Src: a("198.18.3.3"), Dst: a("192.0.2.2"), Proto: 17, SPort: 4000, DPort: 5000, HasPorts: true},
		{Src: a("198.18.3.3"), Dst: a("192.0.2.2"), Proto: 17, SPort: 4000, DPort: 5000, HasPorts: true}, // in another zone
		{Src: a("2001:db8:ffff::3"), Dst: a("2001:db8:f1::2"), Proto: 6, SPort: 443, DPort: 5001, HasPorts: true},
		{Src: a("198.18.3.3"), Dst: a("192.0.2.2"), Proto: 47},
		{Src: a("198.18.3.3"), Dst: a("192.0.2.2"), Proto: 1},
	}
	r := withoutAnswers(plan.Ruleset{}, answers)
	e, err := walk.New(&r)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		p    walk.Packet
		want walk.Verdict
	}{
		"UDP": {walk.Packet{Src: a("198.18.3.3"), Dst: a("192.0.2.2"), Proto: 17, SPort: 4000,
			DPort: 5000}, walk.Dropped},
		"TCP, IPv6": {walk.Packet{Src: a("2001:db8:ffff::3"), Dst: a("2001:db8:f1::2"), Proto: 6,
			SPort: 443, DPort: 5001}, walk.Dropped},
		"GRE":             {walk.Packet{Src: a("198.18.3.3"), Dst: a("192.0.2.2"), Proto: 47, NoPorts: true}, walk.Dropped},
		"an echo request": {walk.Packet{Src: a("198.18.3.3"), Dst: a("192.0.2.2"), Proto: 1, ICMPType: 8}, walk.Ended},
		"another port": {walk.Packet{Src: a("198.18.3.3"), Dst: a("192.0.2.2"), Proto: 17, SPort: 4000,
			DPort: 5002}, walk.Ended},
		"the packet of the sender's": {walk.Packet{Src: a("192.0.2.2"), Dst: a("198.18.3.3"), Proto: 17, SPort: 5000,
			DPort: 4000}, walk.Ended},
	} {
		t.Run(name, func(t *testing.T) {
			c.p.CTState = walk.StateNew
			if res, err := e.Walker().Walk("late-answers", &c.p); err != nil || res.Verdict != c.want {
				t.Errorf("%s: %v, %v", name, res.Verdict, err)
			}
			c.p.CTState = walk.StateEstablished
			if res, err := e.Walker().Walk("late-answers", &c.p); err != nil || res.Verdict != walk.Ended {
				t.Errorf("%s, of a connection: %v, %v", name, res.Verdict, err)
			}
		})
	}
}

// TestWithArrivals: a packet of an awaited connection pins it to the uplink that it arrives on,
// with others' bits kept. Packets of other connections, answers, and pinned ones pass.
func TestWithArrivals(t *testing.T) {
	a := netip.MustParseAddr
	const mask, isp2, isp3 = 0xff000000, 0x57000000, 0x23000000
	uplinks := []adopt.Arrival{{Interface: "wan2", Family: plan.IPv4, Mark: isp2}, {Interface: "wan2", Family: plan.IPv6, Mark: isp2},
		{Interface: "wan3", Family: plan.IPv6, Mark: isp3}}
	offloads := plan.Ruleset{Flowtables: []plan.Flowtable{{Name: "flows"}}, Chains: []plan.Chain{
		{Name: "forward", Hook: "forward", Rules: []plan.ChainRule{{Actions: []plan.Action{plan.Offload{Flowtable: "flows"}}}}},
	}}
	r := withArrivals(offloads, mask, uplinks, []conntrack.Tuple{
		{Src: a("8.8.8.8"), Dst: a("192.168.10.10"), Proto: 6, SPort: 4000, DPort: 22, HasPorts: true},
		{Src: a("2001:db8::8"), Dst: a("2001:db8:10::10"), Proto: 6, SPort: 4000, DPort: 22, HasPorts: true},
	})
	if len(r.Flowtables) > 0 || slices.ContainsFunc(r.Chains, func(c plan.Chain) bool { return c.Name == "forward" }) {
		t.Errorf("offloads: %+v", r)
	}
	e, err := walk.New(&r)
	if err != nil {
		t.Fatal(err)
	}
	v4 := walk.Packet{IIF: "wan2", Src: a("8.8.8.8"), Dst: a("192.168.10.10"), Proto: 6, SPort: 4000, DPort: 22, CTMark: 0x5a}
	v6 := walk.Packet{IIF: "wan3", Src: a("2001:db8::8"), Dst: a("2001:db8:10::10"), Proto: 6, SPort: 4000, DPort: 22}
	for _, c := range []struct {
		name string
		p    walk.Packet
		edit func(*walk.Packet)
		want uint32
	}{
		{"IPv4", v4, func(*walk.Packet) {}, isp2 | 0x5a},
		{"IPv6", v6, func(*walk.Packet) {}, isp3},
		{"IPv6, by another uplink", v6, func(p *walk.Packet) { p.IIF = "wan2" }, isp2},
		{"by an uplink that does not pin", v4, func(p *walk.Packet) { p.IIF = "wan1" }, 0x5a},
		{"by an uplink that pins the other IP version", v4, func(p *walk.Packet) { p.IIF = "wan3" }, 0x5a},
		{"another port", v4, func(p *walk.Packet) { p.SPort = 4001 }, 0x5a},
		{"pinned", v4, func(p *walk.Packet) { p.CTMark = isp3 }, isp3},
		{"the same tuple as an answer", v4, func(p *walk.Packet) { p.Reply = true }, 0x5a},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.p.CTState = walk.StateEstablished
			c.edit(&c.p)
			res, err := e.Walker().Walk("arrivals", &c.p)
			if err != nil || res.CTMark != c.want || res.Verdict != walk.Ended {
				t.Errorf("ct mark %#x, not %#x, %v, %v", res.CTMark, c.want, res.Verdict, err)
			}
		})
	}
}
