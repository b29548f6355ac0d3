package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/integration/race"
)

// pick returns one of the words, or nothing.
func pick(r *rand.Rand, key string, words ...string) string {
	if n := r.IntN(len(words) + 2); n < len(words) {
		return key + " = " + words[n] + "\n"
	}
	return ""
}

// randomPolicies writes n policies out of few values, so that many cover others.
func randomPolicies(r *rand.Rand, n int) string {
	var b strings.Builder
	b.WriteString(benchHead +
		"[lists]\na = [\"10.0.0.0/24\", \"10.0.2.0/24\"]\nb = [\"10.0.0.0/25\"]\nc = [\"10.0.0.0/23\", \"fd00::/64\"]\n")
	for i := range n {
		fmt.Fprintf(&b, "[[policy]]\nname = \"p%d\"\n", i)
		b.WriteString(pick(r, "src", `"10.0.0.0/16"`, `"10.0.0.0/24"`, `["10.0.0.0/24", "!10.0.0.7"]`, `"!10.0.0.0/24"`,
			`"@a"`, `"@b"`, `["@a", "!@b"]`, `"@c"`, `"10.0.0.3-10.0.0.9"`, `"10.0.0.4"`))
		b.WriteString(pick(r, "dst", `"10.0.0.0/8"`, `"!10.0.0.0/8"`, `["10.0.0.4", "fd00::1"]`, `"10.0.0.4"`))
		b.WriteString(pick(r, "ipv", "4"))
		b.WriteString(pick(r, "proto", `"tcp"`, `["tcp", "udp"]`, `"!udp"`, `["tcp", "udp", "sctp"]`))
		b.WriteString(pick(r, "dport", "80", `[80, 443]`, `"1-1024"`, `"!443"`, `["1-65535", "!80"]`))
		b.WriteString(pick(r, "sport", "80", `"1-79"`))
		b.WriteString(pick(r, "dscp", `"ef"`, `["ef", 0]`))
		b.WriteString(pick(r, "from", `"br-lan"`, `["br-lan", "br-guest"]`, `"br-*"`, `"!br-guest"`,
			`["br-*", "!br-guest"]`, `"local"`, `["local", "br-lan"]`))
		b.WriteString("table = \"t1\"\n")
	}
	return b.String()
}

// packet is a first packet. It is judged by selects, which shares nothing with match.
type packet struct {
	local        bool
	iif          string
	src, dst     netip.Addr
	proto, dscp  uint32
	sport, dport uint16
}

func randomPacket(r *rand.Rand) packet {
	addr := func() netip.Addr {
		if r.IntN(4) == 0 {
			return netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(r.IntN(2)), 15: byte(r.IntN(3))})
		}
		return netip.AddrFrom4([4]byte{10 + byte(r.IntN(4)/3), 0, byte(r.IntN(4)), byte([]int{3, 4, 7, 9, 10, 127, 128}[r.IntN(7)])})
	}
	p := packet{local: r.IntN(4) == 0, iif: []string{"br-lan", "br-guest", "br-x", "eth7"}[r.IntN(4)], src: addr(), dst: addr(),
		proto: []uint32{6, 17, 132, 1, 47}[r.IntN(5)], dscp: []uint32{0, 46, 8}[r.IntN(3)]}
	if hasPorts(p.proto) {
		p.sport, p.dport = []uint16{80, 50, 2000}[r.IntN(3)], []uint16{80, 443, 22, 2000}[r.IntN(4)]
	}
	if p.src.Is4() != p.dst.Is4() {
		p.dst = p.src
	}
	return p
}

// anyOf reports whether a list matches, as policy.md says: one entry that is meant, unless all are
// negated, and none that is negated.
func anyOf[T any](items []T, not func(T) bool, hit func(T) bool) bool {
	positive, found := false, false
	for _, item := range items {
		switch {
		case not(item) && hit(item):
			return false
		case !not(item):
			positive = true
			found = found || hit(item)
		}
	}
	return found || !positive
}

// selects reports whether a policy matches a packet.
func selects(doc *Document, pol *Policy, p packet) bool {
	inRange := func(r Range, a netip.Addr) bool {
		return r.From.Is4() == a.Is4() && r.From.Compare(a) <= 0 && a.Compare(r.To) <= 0
	}
	addr := func(items []AddrItem, a netip.Addr) bool {
		return anyOf(items, func(i AddrItem) bool { return i.Not }, func(i AddrItem) bool {
			if i.List == "" {
				return inRange(i.Range, a)
			}
			n := slices.IndexFunc(doc.Lists, func(l List) bool { return l.Name == i.List })
			return slices.ContainsFunc(doc.Lists[n].Ranges, func(r Range) bool { return inRange(r, a) })
		})
	}
	port := func(items []PortItem, n uint16) bool {
		return anyOf(items, func(i PortItem) bool { return i.Not }, func(i PortItem) bool { return i.From <= n && n <= i.To })
	}
	number := func(items []NumItem, n uint32) bool {
		return anyOf(items, func(i NumItem) bool { return i.Not }, func(i NumItem) bool { return i.From <= n && n <= i.To })
	}
	iface := anyOf(pol.From, func(i NameItem) bool { return i.Not }, func(i NameItem) bool {
		prefix, wild := strings.CutSuffix(i.Name, "*")
		return p.iif == i.Name || wild && strings.HasPrefix(p.iif, prefix)
	})
	from := p.local && pol.Local || !p.local && pol.Forwarded && iface
	ports := len(pol.SPort)+len(pol.DPort) == 0 || len(pol.Proto) > 0 && !pol.Proto[0].Not && hasPorts(p.proto) ||
		p.proto == 6 || p.proto == 17
	version := pol.IPVersion == 0 || (pol.IPVersion == 4) == p.src.Is4()
	return from && version && ports && addr(pol.Src, p.src) && addr(pol.Dst, p.dst) && number(pol.Proto, p.proto) &&
		number(pol.DSCP, p.dscp) && port(pol.SPort, p.sport) && port(pol.DPort, p.dport)
}

// TestCoverIsSound sends packets through random policies: one that is called covered must never be
// the first match, and the index must find exactly what comparing all pairs finds.
func TestCoverIsSound(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	coveredSeen, packetsSeen := 0, 0
	for range race.Cases(60) {
		text := randomPolicies(r, 40)
		doc, ds := Parse(fstest.MapFS{"p": {Data: []byte(text)}}, "p", "p")
		covered := map[int]bool{}
		for _, d := range ds {
			if d.Code == codeCovered || d.Code == codeSameMatch {
				i := slices.IndexFunc(doc.Policies, func(pol Policy) bool { return pol.Pos == d.Pos })
				covered[i] = true
			}
		}
		if ds.HasErrors() {
			// Some mixtures leave nothing, which is an error; its own test is nothing-left.txtar.
			ds = slices.DeleteFunc(ds, func(d Diagnostic) bool { return d.Code == codeImpossible })
			if ds.HasErrors() {
				t.Fatal(ds)
			}
			if len(covered) == 0 {
				continue
			}
		}
		coveredSeen += len(covered)
		checkIndex(t, doc, covered)
		for range 2000 {
			p := randomPacket(r)
			first := slices.IndexFunc(doc.Policies, func(pol Policy) bool { return selects(doc, &pol, p) })
			if first >= 0 {
				packetsSeen++
			}
			if covered[first] {
				t.Fatalf("policy %q is said to be covered, and is the first to match %+v, in:\n%s", doc.Policies[first].Name, p, text)
			}
		}
	}
	if coveredSeen < race.Cases(100) || packetsSeen < race.Cases(10000) {
		t.Errorf("only %d covered policies and %d matching packets: the test proves little", coveredSeen, packetsSeen)
	}
}

// checkIndex compares the index's answer with that of comparing all pairs.
func checkIndex(t *testing.T, doc *Document, covered map[int]bool) {
	p := &parser{doc: doc, lists: map[string]*listDraft{}}
	for i := range doc.Lists {
		p.lists[doc.Lists[i].Name] = &listDraft{index: i}
	}
	m := newMatcher(p)
	all := make([]match, len(doc.Policies))
	for i := range all {
		all[i] = m.policy(&doc.Policies[i])
		if all[i].empty() {
			continue
		}
		want := slices.ContainsFunc(all[:i], func(earlier match) bool { return !earlier.empty() && earlier.covers(&all[i]) })
		if want != covered[i] {
			t.Errorf("policy %q: covered %v by comparing all, %v by the index", doc.Policies[i].Name, want, covered[i])
		}
	}
}

// TestCoverIsNotQuadratic counts comparisons for shapes of large files.
func TestCoverIsNotQuadratic(t *testing.T) {
	const n = 4000
	shapes := map[string]func(b *strings.Builder, i int){
		"sources":      func(b *strings.Builder, i int) { fmt.Fprintf(b, "src = \"10.%d.%d.0/24\"\n", i>>8, i&255) },
		"destinations": func(b *strings.Builder, i int) { fmt.Fprintf(b, "src = \"@lan\"\ndst = \"2001:db8:%x::/48\"\n", i+1) },
		"ports":        func(b *strings.Builder, i int) { fmt.Fprintf(b, "src = \"@lan\"\nproto = \"tcp\"\ndport = %d\n", i+1) },
		"pairs": func(b *strings.Builder, i int) {
			fmt.Fprintf(b, "src = \"10.0.0.%d\"\ndst = \"10.1.0.%d\"\n", i/100, i%100)
		},
		"the same": func(b *strings.Builder, i int) { b.WriteString("src = \"10.0.0.1\"\n") },
		"macs":     func(b *strings.Builder, i int) { fmt.Fprintf(b, "mac = \"02:00:00:00:%02x:%02x\"\n", i>>8, i&255) },
		"ranges": func(b *strings.Builder, i int) {
			fmt.Fprintf(b, "src = \"10.%d.%d.3-10.%d.%d.200\"\n", i>>8, i&255, i>>8, i&255)
		},
		"nested": func(b *strings.Builder, i int) { fmt.Fprintf(b, "src = \"10.%d.%d.0/%d\"\n", i>>8, i&255, 32-i%9) },
	}
	for name, write := range shapes {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			b.WriteString(benchHead + "[lists]\nlan = [\"10.0.0.0/8\", \"fd00::/8\"]\n")
			for i := range n {
				fmt.Fprintf(&b, "[[policy]]\nname = \"p%d\"\ntable = \"t1\"\n", i)
				write(&b, i)
			}
			doc, ds := Parse(fstest.MapFS{"p": {Data: []byte(b.String())}}, "p", "p")
			if ds.HasErrors() {
				t.Fatal(ds[0])
			}
			p := &parser{doc: doc, lists: map[string]*listDraft{"lan": {}}}
			if compared := p.lintCovered(); compared > 200*n {
				t.Errorf("%d comparisons for %d policies", compared, n)
			}
		})
	}
}
