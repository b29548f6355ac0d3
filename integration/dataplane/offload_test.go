package dataplane

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/page"
)

// BenchmarkVMOffload prints what established connections' packets cost with offload, beside the
// same without, a flowtable written by hand and no pbr, and no nftables at all.
func BenchmarkVMOffload(b *testing.B) {
	lab.NeedKernel(b, "nf_flow_table")
	n := 15
	if *rounds > 0 {
		n = *rounds
	}
	if lab.InGuest() {
		// Emulated, the far end is slow to take what the router sends, and would drop it.
		if err := os.WriteFile("/proc/sys/net/core/netdev_max_backlog", []byte("100000"), 0); err != nil {
			b.Fatal(err)
		}
	}
	bench := newBench(b)
	for _, c := range offloads() {
		m := bench.add(c)
		// connections stay offloaded while other rows are measured
		m.Sysctl("net/netfilter/nf_flowtable_udp_timeout", "3600")
	}
	for b.Loop() {
		res := bench.run(n, os.Stderr, false)
		for _, m := range bench.routers[2:] {
			fmt.Printf("%s: %d connections offloaded\n", m.name, strings.Count(m.Run("conntrack", "-L"), "[OFFLOAD]")+
				strings.Count(m.Run("conntrack", "-L", "-f", "ipv6"), "[OFFLOAD]"))
		}
		res.writeEstablished(os.Stdout)
	}
}

// offloads are the rows.
func offloads() []config {
	whole := pbrSetUp{1000, 2, ""}
	list := []config{configs()[0], configs()[1], {name: "a flowtable written by hand", n: baseSelectors,
		setUp: handWritten}, whole.config()}
	for _, mode := range []string{"unmarked", "all"} {
		c := whole.config()
		c.name = fmt.Sprintf("%s, offload %s", whole, mode)
		c.setUp = func(t testing.TB, r *router, all []selector) {
			t.Helper()
			file := filepath.Join(t.TempDir(), "pbr.toml")
			text := strings.Replace(whole.policy(all), `offload = "off"`, fmt.Sprintf("offload = { mode = %q, required = true }", mode), 1)
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			r.Run(program, "--config", file, "apply")
		}
		list = append(list, c)
	}
	return list
}

// handWritten is what a router without policies has, with a flowtable.
func handWritten(t testing.TB, r *router, all []selector) {
	t.Helper()
	masquerade(t, r, all)
	r.NFT(`table inet fast {
	flowtable f { hook ingress priority filter; devices = { "lan", "wan1", "wan2" }; counter; }
	chain forward {
		type filter hook forward priority filter
		ct state established meta l4proto { tcp, udp } flow add @f
	}
}
`)
}

// writeEstablished prints a table of the established streams alone: both directions and IP versions
// together.
func (res *results) writeEstablished(w io.Writer) {
	columns := []struct {
		name string
		keep func(cell) bool
	}{
		{"by default's uplink", func(c cell) bool { return !c.fresh && !c.matched }},
		{"by a policy's", func(c cell) bool { return !c.fresh && c.matched }},
	}
	fmt.Fprintf(w, "Linux %s; %d rounds.\n\n", page.Kernel(), len(res.floor[cells()[0]]))
	names, lines := []string{"net CPU time per packet"}, []string{"---"}
	for _, c := range columns {
		names, lines = append(names, c.name), append(lines, "---")
	}
	writeRow(w, names)
	writeRow(w, lines)
	to := res.find(base)
	for _, m := range res.rows {
		row := []string{m.name}
		for _, c := range columns {
			text := "-"
			in := slices.DeleteFunc(cells(), func(x cell) bool { return !c.keep(x) })
			if q, ok := res.ratio(m, to, in); ok {
				text = q.String()
			}
			row = append(row, text)
		}
		writeRow(w, row)
	}
	fmt.Fprintln(w)
	res.writeLosses(w)
}
