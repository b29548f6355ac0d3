package daemon

import (
	"net/netip"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// An address that routers share comes and goes beside the router's own one: its connections
// continue at the other router, which hears of what is deleted here. An address that was exchanged
// for another one takes its connections along.
func TestSharedAddressBesideAnOwnOne(t *testing.T) {
	const shared, own = "192.0.2.10", "192.0.2.2"
	for name, row := range map[string]struct {
		with    string
		flushed []string
	}{
		"nat names it": {strings.Replace(twoUplinks, `nat = "masquerade"`, `nat = "`+shared+`"`, 1), nil},
		"standby":      {strings.Replace(twoUplinks, `nat = "masquerade"`, "nat = \"masquerade\"\nstandby = true", 1), nil},
		"exchanged":    {twoUplinks, []string{"4 " + shared}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, row.with, func(t *testing.T, b *bench) {
				have := func(addrs ...string) {
					b.kernel.setLink("wan1", func(l *plan.Link) {
						l.Addrs = nil
						for _, a := range addrs {
							l.Addrs = append(l.Addrs, netip.MustParseAddr(a))
						}
					})
					b.events <- KernelEvent{Kind: HostChanged}
					sleep(spacing + eventPause)
				}
				have(own, shared)
				sleep(downTime)
				have(own)
				b.wantFlushed("the shared address is gone", row.flushed...)
				b.wantRoutes("the shared address is gone", "default", "wan1 wan2")
			})
		})
	}
}
