package daemon

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pbr/compiler/plan"
	"pbr/healthcheck"
)

// withIPv6 is twoUplinks, whose uplink isp2 carries IPv6 too, and alone, in a table that is strict.
func withIPv6(t *testing.T) string {
	t.Helper()
	const gateway6 = "gateway6 = \"fe80::1\"\n"
	text := strings.Replace(twoUplinks, "interface = \"wan2\"\n", "interface = \"wan2\"\n"+gateway6, 1)
	text = strings.Replace(text, "name = \"both\"\n", "name = \"both\"\nstrict = true\n", 1)
	if !strings.Contains(text, gateway6) || !strings.Contains(text, "strict") {
		t.Fatal("twoUplinks is not what it was")
	}
	return text
}

// addIPv6 gives isp2's interface an IPv6 address.
func (b *bench) addIPv6() {
	b.kernel.setLink("wan2", func(l *plan.Link) { l.Addrs = append(l.Addrs, netip.MustParseAddr("2001:db8::2")) })
}

// ways6 are where the default routes of a table lead in IPv6, in a plan.
func ways6(p *plan.Plan, table string) (ways []string) {
	o := Outline{Numbers: p.Numbers}
	for _, r := range p.Routes {
		if r.Table != o.Table(table) || r.Family != plan.IPv6 {
			continue
		}
		for _, h := range r.Hops {
			ways = append(ways, h.Dev)
		}
		if len(r.Hops) == 0 {
			ways = append(ways, "unreachable")
		}
	}
	return ways
}

// An order that was given while an uplink carried one IP version holds for the other one from the
// policy on that gives it that, without a watch, with one, and after its start; until it is
// revoked.
func TestOrdersHoldForVersionsThatComeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both := withIPv6(t)
		b := newBench(t, twoUplinks)
		b.addIPv6()
		b.force("isp2", healthcheck.ForceDown, true)
		b.policy = both
		b.wantLastHealth("IPv6 comes", "isp2 forced-down, isp2 forced-down")
		b.start()
		want := []string{"unreachable"}
		if got := ways6(b.kernel.plan(), "both"); !slices.Equal(got, want) {
			t.Errorf("after a start: table both leads to %q", got)
		}
		sleep(downTime)
		b.reload(twoUplinks)
		b.kernel.do(func() { b.kernel.history = nil })
		b.reload(both)
		sleep(downTime)
		for i, p := range b.kernel.plans() {
			if got := ways6(p, "both"); !slices.Equal(got, want) {
				t.Errorf("plan %d after the reload: table both leads to %q", i, got)
			}
		}
		if err := b.w.Force(t.Context(), "isp2", healthcheck.ForceAuto); err != nil {
			t.Fatal(err)
		}
		sleep(downTime)
		if got := ways6(b.kernel.plan(), "both"); !slices.Equal(got, []string{"wan2", "unreachable"}) {
			t.Errorf("revoked: table both leads to %q", got)
		}
		b.stop()
		b.wantLastHealth("revoked", "")
	})
}

// An order that is revoked while an uplink carries one version is revoked for both.
func TestOrdersAreRevokedForVersionsThatAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, withIPv6(t))
		b.addIPv6()
		b.force("isp2", healthcheck.ForceDown, true)
		b.policy = twoUplinks
		b.force("isp2", healthcheck.ForceAuto, true)
		b.policy = withIPv6(t)
		b.wantLastHealth("without a watch", "")
		b.start()
		if err := b.w.Force(t.Context(), "isp2", healthcheck.ForceDown); err != nil {
			t.Fatal(err)
		}
		b.reload(twoUplinks)
		if err := b.w.Force(t.Context(), "isp2", healthcheck.ForceAuto); err != nil {
			t.Fatal(err)
		}
		b.reload(withIPv6(t))
		sleep(downTime)
		if r := b.w.Report(); len(r.Down) != 0 {
			t.Errorf("with a watch: %v are down", r.Down)
		}
		b.stop()
	})
}
