//go:build linux

package nft

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// Sizes of the table that the benchmarks load.
const (
	benchRules    = 10_000
	benchElements = 100_000
)

// big is a table of one-rule policies and one list, as a plan and as text for nft.
func big() (*plan.Ruleset, string) {
	r := &plan.Ruleset{Chains: []plan.Chain{{Name: "m1", Rules: []plan.ChainRule{accepted()}}, {Name: "classify"}}}
	var b strings.Builder
	b.WriteString("table inet pbr {\n")
	list := plan.Set{Name: "addresses", Type: plan.TypeIPv4, Interval: true}
	var elements []string
	for i := range benchElements {
		from := netip.AddrFrom4([4]byte{10, byte(i >> 14), byte(i >> 6), byte(i << 2)})
		to := netip.AddrFrom4([4]byte{10, byte(i >> 14), byte(i >> 6), byte(i<<2) + 1})
		list.Elements = append(list.Elements, span(plan.KeyFromAddr(from), plan.KeyFromAddr(to)))
		elements = append(elements, from.String()+"/31")
	}
	r.Sets = []plan.Set{list}
	rules := &strings.Builder{}
	for i := range benchRules {
		name := fmt.Sprintf("policy-%05d", i)
		src, port := netip.AddrFrom4([4]byte{192, 168, byte(i >> 8), byte(i)}), uint16(1024+i)
		r.Counters = append(r.Counters, plan.Counter{Name: name, Comment: "policy " + name})
		r.Chains[1].Rules = append(r.Chains[1].Rules, plan.ChainRule{
			Matches: []plan.Match{is(plan.FieldIIFName, str("br-lan")), is(plan.FieldIPSAddr, plan.KeyFromAddr(src)),
				is(plan.FieldL4Proto, u8(6)), is(plan.FieldDPort, u16(port))},
			Actions: []plan.Action{plan.Count{Counter: name}, plan.Goto{Chain: "m1"}}, Comment: "policy " + name})
		fmt.Fprintf(&b, "counter %s { comment \"policy %s\"\n}\n", name, name)
		fmt.Fprintf(rules, "iifname \"br-lan\" ip saddr %s tcp dport %d counter name \"%s\" goto m1 comment "+
			"\"policy %s\"\n", src, port, name, name)
	}
	fmt.Fprintf(&b, "set addresses { type ipv4_addr; flags interval; elements = { %s } }\n", strings.Join(elements, ", "))
	b.WriteString("chain m1 { accept\n}\nchain classify {\n" + rules.String() + "}\n}\n")
	return r, b.String()
}

// BenchmarkLoad compares loading the big table by Apply and by nft -f.
func BenchmarkLoad(b *testing.B) {
	want, script := big()
	n := newNetns(b)
	clear := func() {
		if err := n.conn.Delete(); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("apply", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			clear()
			b.StartTimer()
			n.apply(want)
		}
	})
	b.Run("nft", func(b *testing.B) {
		file := filepath.Join(b.TempDir(), "big.nft")
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			b.StopTimer()
			clear()
			b.StartTimer()
			if out, err := n.command("", "nft", "-f", file); err != nil {
				b.Fatalf("%v: %.500s", err, out)
			}
		}
	})
}

// BenchmarkChange measures what it costs to read the table, and to apply when nothing differs, and
// when one rule does.
func BenchmarkChange(b *testing.B) {
	want, _ := big()
	edited := *want
	edited.Chains = append([]plan.Chain(nil), want.Chains...)
	edited.Chains[1].Rules = append([]plan.ChainRule(nil), want.Chains[1].Rules...)
	edited.Chains[1].Rules[5000].Actions = []plan.Action{plan.Drop{}}
	n := newNetns(b)
	live := n.apply(want)
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			n.read()
		}
	})
	b.Run("nothing", func(b *testing.B) {
		snapshot := live.Snapshot()
		for b.Loop() {
			live, ok := n.conn.Load(snapshot, want)
			if !ok {
				b.Fatal("the snapshot does not load")
			}
			if !diff(live, want).Empty() {
				b.Fatal("the snapshot differs")
			}
		}
	})
	b.Run("rule", func(b *testing.B) {
		snapshot := live.Snapshot()
		for i := 0; b.Loop(); i++ {
			target := []*plan.Ruleset{&edited, want}[i%2]
			live, ok := n.conn.Load(snapshot, target)
			if !ok {
				b.Fatal("the snapshot does not load")
			}
			live, err := n.conn.Apply(live, target, diff(live, target))
			if err != nil {
				b.Fatal(err)
			}
			snapshot = live.Snapshot()
		}
	})
}
