package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/ti-mo/conntrack"

	"pbr/compiler"
	"pbr/compiler/plan"
)

// crowd is how many connections the benchmarks of Cut make, half of them of the uplink that goes down.
const crowd = 200_000

// fillConntrack makes the crowd: connections of two marks, or, of the uplink that goes down, unmarked ones that are translated
// to 192.0.2.2.
func fillConntrack(b *testing.B, mark uint32) *conntrack.Conn {
	b.Helper()
	lib := newConntrack(b)
	address := netip.MustParseAddr("192.0.2.2")
	for i := range crowd {
		src, dst := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), netip.MustParseAddr("8.8.8.8")
		f := conntrack.NewFlow(17, 0, src, dst, 1000, 443, 600, mark)
		if i%2 == 1 {
			f.Mark = 0x020000
		} else if mark == 0 {
			// Answers come to the router's address, by a server of their own each.
			server := netip.AddrFrom4([4]byte{8, byte(i >> 16), byte(i >> 8), byte(i)})
			f.TupleOrig.IP.DestinationAddress, f.TupleReply.IP.SourceAddress, f.TupleReply.IP.DestinationAddress = server, server, address
		}
		must(b, lib.Create(f))
	}
	return lib
}

// benchmarkCut measures how long cut takes for 100,000 of 200,000 connections.
func benchmarkCut(b *testing.B, mark uint32, cut func(k *Kernel)) {
	k := newKernel(b)
	for b.Loop() {
		b.StopTimer()
		lib := fillConntrack(b, mark)
		b.StartTimer()
		cut(k)
		b.StopTimer()
		s, err := lib.StatsGlobal()
		must(b, err)
		if s.Entries != crowd/2 {
			b.Fatalf("%d connections are left", s.Entries)
		}
		must(b, lib.Flush())
		b.StartTimer()
	}
	b.ReportMetric(crowd/2*float64(b.N)/b.Elapsed().Seconds(), "connections/s")
}

// BenchmarkCut100000 cuts by mark, in one request.
func BenchmarkCut100000(b *testing.B) {
	benchmarkCut(b, 0x010000, func(k *Kernel) {
		_, err := k.Cut([]Cut{{Mark: 0x010000, Mask: testMask}})
		must(b, err)
	})
}

// BenchmarkCutUnmarked100000 cuts by address, in three requests.
func BenchmarkCutUnmarked100000(b *testing.B) {
	benchmarkCut(b, 0, func(k *Kernel) {
		_, err := k.Cut([]Cut{{Mask: testMask, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.2")}}})
		must(b, err)
	})
}

// BenchmarkConntrackTool100000 is what a script does.
func BenchmarkConntrackTool100000(b *testing.B) {
	benchmarkCut(b, 0x010000, func(*Kernel) {
		must(b, exec.Command("conntrack", "-D", "-m", "0x010000/0x00ff0000").Run()) // its list goes to /dev/null
	})
}

// manyUplinks is a policy of 200 uplinks, in as many VLANs, and 100 tables.
func manyUplinks() (policy, links string) {
	var text, batch strings.Builder
	text.WriteString("[pbr]\nmark-mask = 0x00fff000\n")
	for i := range 200 {
		fmt.Fprintf(&batch, "link add name v%d type veth peer name p%d\nlink set v%d up\nlink set p%d up\naddress add 10.200.%d.2/24 dev v%d\n", i, i, i, i, i, i)
		fmt.Fprintf(&text, "[[uplink]]\nname = \"u%d\"\ninterface = \"v%d\"\ngateway = \"10.200.%d.1\"\nnat = \"masquerade\"\n", i, i, i)
	}
	for i := range 100 {
		fmt.Fprintf(&text, "[[table]]\nname = \"t%d\"\nroutes = [ { uplink = \"u%d\" }, { uplink = \"u%d\", distance = 2 } ]\n", i, 2*i, 2*i+1)
		fmt.Fprintf(&text, "[[policy]]\nname = \"p%d\"\nsrc = \"10.99.%d.0/24\"\ntable = \"t%d\"\n", i, i, i)
	}
	text.WriteString("[default]\nroutes = [ { uplink = \"u0\" }, { uplink = \"u1\", distance = 2 } ]\n")
	return text.String(), batch.String()
}

// bigPlans are the plans with all uplinks up, and with one down, in a namespace that has the links.
func bigPlans(b *testing.B) (k *Kernel, up, down *plan.Plan) {
	b.Helper()
	k = newKernel(b)
	policy, links := manyUplinks()
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(links)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return k, compile(b, k, policy, nil), compile(b, k, policy, compiler.Health{"u0": 1})
}

// BenchmarkApply200Uplinks is a first apply.
func BenchmarkApply200Uplinks(b *testing.B) {
	k, up, _ := bigPlans(b)
	for b.Loop() {
		_, err := k.Apply(context.Background(), up)
		must(b, err)
		b.StopTimer()
		_, err = k.Flush(context.Background())
		must(b, err)
		b.StartTimer()
	}
}

// BenchmarkApplyAgain200Uplinks finds that nothing is to be done.
func BenchmarkApplyAgain200Uplinks(b *testing.B) {
	k, up, _ := bigPlans(b)
	for b.Loop() {
		_, err := k.Apply(context.Background(), up)
		must(b, err)
	}
}

// BenchmarkFlush200Uplinks takes everything away.
func BenchmarkFlush200Uplinks(b *testing.B) {
	k, up, _ := bigPlans(b)
	for b.Loop() {
		b.StopTimer()
		_, err := k.Apply(context.Background(), up)
		must(b, err)
		b.StartTimer()
		_, err = k.Flush(context.Background())
		must(b, err)
	}
}

// BenchmarkUpdate200Uplinks is a failover of default's primary uplink among them.
func BenchmarkUpdate200Uplinks(b *testing.B) {
	k, up, down := bigPlans(b)
	plans := []*plan.Plan{up, down}
	_, err := k.Apply(context.Background(), up)
	must(b, err)
	for i := 1; b.Loop(); i++ {
		_, err := k.Update(context.Background(), plans[i%2])
		must(b, err)
	}
}
