package conntrack

import (
	"net/netip"
	"os/exec"
	"testing"

	lib "github.com/ti-mo/conntrack"
)

// crowd is how many connections the benchmarks of Delete make, half of them of the uplink that goes
// down.
const crowd = 200_000

// fillConntrack makes the crowd: connections of two marks, or, of the uplink that goes down,
// unmarked ones that are translated to 192.0.2.2.
func fillConntrack(b *testing.B, mark uint32) *lib.Conn {
	b.Helper()
	ct := newConntrack(b)
	address := netip.MustParseAddr("192.0.2.2")
	for i := range crowd {
		src, dst := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), netip.MustParseAddr("8.8.8.8")
		f := lib.NewFlow(17, 0, src, dst, 1000, 443, 600, mark)
		if i%2 == 1 {
			f.Mark = 0x020000
		} else if mark == 0 {
			// Answers come to the router's address, by a server of their own each.
			server := netip.AddrFrom4([4]byte{8, byte(i >> 16), byte(i >> 8), byte(i)})
			f.TupleOrig.IP.DestinationAddress, f.TupleReply.IP.SourceAddress, f.TupleReply.IP.DestinationAddress = server, server, address
		}
		must(b, ct.Create(f))
	}
	return ct
}

// benchmarkFlush measures how long a flush takes for 100,000 of 200,000 connections.
func benchmarkFlush(b *testing.B, mark uint32, flush func()) {
	newNamespace(b)
	for b.Loop() {
		b.StopTimer()
		ct := fillConntrack(b, mark)
		b.StartTimer()
		flush()
		b.StopTimer()
		s, err := ct.StatsGlobal()
		must(b, err)
		if s.Entries != crowd/2 {
			b.Fatalf("%d connections are left", s.Entries)
		}
		must(b, ct.Flush())
		b.StartTimer()
	}
	b.ReportMetric(crowd/2*float64(b.N)/b.Elapsed().Seconds(), "connections/s")
}

// BenchmarkFlush100000 flushes by mark, in one request.
func BenchmarkFlush100000(b *testing.B) {
	benchmarkFlush(b, 0x010000, func() {
		_, err := Delete([]Flush{{Mark: 0x010000, Mask: testMask}})
		must(b, err)
	})
}

// BenchmarkFlushUnmarked100000 flushes by address, in three requests.
func BenchmarkFlushUnmarked100000(b *testing.B) {
	benchmarkFlush(b, 0, func() {
		_, err := Delete([]Flush{{Mask: testMask, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.2")}}})
		must(b, err)
	})
}

// BenchmarkConntrackTool100000 is what a script does.
func BenchmarkConntrackTool100000(b *testing.B) {
	benchmarkFlush(b, 0x010000, func() {
		must(b, exec.Command("conntrack", "-D", "-m", "0x010000/0x00ff0000").Run()) // its list goes to /dev/null
	})
}
