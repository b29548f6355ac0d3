package kernel

import (
	"context"
	"errors"
	"testing"

	"pbr/compiler/plan"
)

// movedPolicy has what names a link in each way: routes of both versions, a setting, a flowtable,
// and an address on it.
const movedPolicy = `
[pbr]
sysctl = true
offload = "all"
[[uplink]]
name = "isp1"
interface = "w1"
gateway = "192.0.2.1"
nat = "masquerade"
[[uplink]]
name = "isp2"
interface = "w2"
gateway = "198.51.100.1"
gateway6 = "2001:db8:2::1"
nat = "masquerade"
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
`

// TestMoved: what the kernel says to a plan for a machine that changed since it was read is told
// apart from other refusals, and the plan of the machine as it is by then comes into force.
func TestMoved(t *testing.T) {
	for _, c := range []struct{ name, change, back string }{
		{"a link goes down", "ip link set w2 down", "ip link set w2 up"},
		{"a link is gone", "ip link del w2", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKernel(t)
			want := compileFor(t, k, movedPolicy)
			run(t, c.change)
			_, err := k.Apply(context.Background(), want)
			var failed *ApplyError
			if !errors.As(err, &failed) || failed.Undo != nil || !Moved(err) {
				t.Fatalf("%v", err)
			}
			if c.back != "" { // without a trace
				run(t, c.back)
			}
			apply(t, k, compileFor(t, k, movedPolicy))
		})
	}
	if err := errors.Join(errInjected, ErrNoPrevious, &ConflictError{}); Moved(err) {
		t.Errorf("%v is none of a link", err)
	}
}

// TestFlushAfterALinkIsGone: a setting of a link that goes while its value is given back is nothing
// to give back.
func TestFlushAfterALinkIsGone(t *testing.T) {
	newKernel(t)
	gone := plan.SysctlChange{Path: "net/ipv4/conf/gone/rp_filter", Have: "2", Want: "0"}
	if err := restoreSetting(gone, []setting{{Path: gone.Path, Original: "0", Set: "2"}}); err != nil {
		t.Error(err)
	}
}
