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

// manyUplinks is a policy of 200 uplinks, in as many VLANs, and 100 tables.
func manyUplinks() (policy, links string) {
	var text, batch strings.Builder
	text.WriteString("[pbr]\nmark-mask = 0x00fff000\n")
	for i := range 200 {
		fmt.Fprintf(&batch, "link add name v%d type veth peer name p%d\nlink set v%d up\nlink set p%d "+
			"up\naddress add 10.200.%d.2/24 dev v%d\n", i, i, i, i, i, i)
		fmt.Fprintf(&text, "[[uplink]]\nname = \"u%d\"\ninterface = \"v%d\"\ngateway = \"10.200.%d.1\"\nnat = \"masquerade\"\n", i, i, i)
	}
	for i := range 100 {
		fmt.Fprintf(&text, "[[table]]\nname = \"t%d\"\nroutes = [ { uplink = \"u%d\" }, { uplink = \"u%d\", "+
			"distance = 2 } ]\n", i, 2*i, 2*i+1)
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
	return k, compile(b, k, policy, nil), compile(b, k, policy, compiler.Down(map[string]int{"u0": 1}))
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

// BenchmarkAdopt20000 is what a first apply adds for connections that were there before: half of
// them stay, half are pinned.
func BenchmarkAdopt20000(b *testing.B) {
	k := newKernel(b)
	lib := newConntrack(b)
	run(b, "sysctl -w net.ipv4.ip_forward=1")
	run(b, "ip route add 172.16.0.0/12 dev x1")
	p := compile(b, k, twoUplinks, nil)
	for b.Loop() {
		b.StopTimer()
		must(b, lib.Flush())
		for i := range 20_000 {
			src, dst := netip.AddrFrom4([4]byte{172, 16, byte(i >> 4), byte(i)}), netip.AddrFrom4([4]byte{8, 8, byte(i >> 8), byte(i)})
			f := conntrack.NewFlow(17, 0, src, dst, uint16(1000+i), 443, 600, 0)
			f.TupleReply.IP.DestinationAddress = netip.MustParseAddr([]string{"192.0.2.2", "198.51.100.2"}[i%2])
			must(b, lib.Create(f))
		}
		b.StartTimer()
		r := apply(b, k, p)
		b.StopTimer()
		if r.Adopted != 10_000 || r.Flushed != 0 {
			b.Fatalf("%d pinned, %d flushed", r.Adopted, r.Flushed)
		}
		_, err := k.Flush(context.Background())
		must(b, err)
		b.StartTimer()
	}
}
