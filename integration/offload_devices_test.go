package integration

import (
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// devicesPolicy has an uplink that is a VLAN and one that is a tunnel, for hosts behind a bridge
// and behind a VLAN.
const devicesPolicy = `
[[uplink]]
name = "vlan"
interface = "wan2.7"
gateway = "203.0.113.1"
nat = "masquerade"
[[uplink]]
name = "tunnel"
interface = "tun3"
nat = "masquerade"
[[policy]]
name = "by-vlan"
src = ["192.168.20.11", "192.168.30.11"]
uplink = "vlan"
[[policy]]
name = "by-tunnel"
src = ["192.168.20.12", "192.168.30.12"]
uplink = "tunnel"
`

// newDevicesRig builds a bridge and a VLAN with a host behind each, a VLAN to the second provider
// and a tunnel to the first.
func newDevicesRig(t *testing.T) (r *offloadRig, bridged, tagged *lab.Host) {
	t.Helper()
	lab.NeedKernel(t, "bridge", "vlan")
	policy := strings.Replace(offloadPolicy(`"all"`), ` "192.168.20.11",`, "", 1)
	r = newOffloadRig(t, policy+devicesPolicy)
	bridged, tagged = r.Host("bridged"), r.Host("tagged")
	r.Veth(r.Router, "port1", bridged, "up0")
	r.Router.IP("link add br0 type bridge", "link set br0 up", "link set port1 master br0", "addr add 192.168.20.1/24 dev br0")
	bridged.IP("addr add 192.168.20.11/24 dev up0", "addr add 192.168.20.12/24 dev up0", "route add default via 192.168.20.1")
	r.Veth(r.Router, "trunk", tagged, "up0")
	r.Router.IP("link add link trunk name trunk.5 type vlan id 5", "link set trunk.5 up", "addr add 192.168.30.1/24 dev trunk.5")
	tagged.IP("link add link up0 name up0.5 type vlan id 5", "link set up0.5 up",
		"addr add 192.168.30.11/24 dev up0.5", "addr add 192.168.30.12/24 dev up0.5", "route add default via 192.168.30.1")
	r.Router.IP("link add link wan2 name wan2.7 type vlan id 7", "link set wan2.7 up", "addr add 203.0.113.2/24 dev wan2.7")
	r.ISPs["isp2"].IP("link add link up0 name up0.7 type vlan id 7", "link set up0.7 up", "addr add 203.0.113.1/24 dev up0.7")
	r.Router.IP("link add tun3 type ipip local 192.0.2.2 remote 192.0.2.1", "link set tun3 up",
		"addr add 10.9.9.2 peer 10.9.9.1/32 dev tun3")
	r.ISPs["isp1"].IP("link add tun3 type ipip local 192.0.2.1 remote 192.0.2.2", "link set tun3 up",
		"addr add 10.9.9.1 peer 10.9.9.2/32 dev tun3")
	return r, bridged, tagged
}

// Bridges, VLANs and tunnels, inside and outside: the connection is offloaded, by the device that
// the policy names.
func TestVMOffloadDevices(t *testing.T) {
	t.Parallel()
	r, bridged, tagged := newDevicesRig(t)
	r.router.must("apply")
	r.router.inSync()
	for _, c := range []struct {
		from *lab.Host
		src  string
		isp  string
		nat  string
	}{
		{bridged, "192.168.20.11", "isp2", "203.0.113.2"}, {bridged, "192.168.20.12", "isp1", "10.9.9.2"},
		{tagged, "192.168.30.11", "isp2", "203.0.113.2"}, {tagged, "192.168.30.12", "isp1", "10.9.9.2"},
	} {
		t.Run(c.src, func(t *testing.T) {
			for _, network := range []string{"udp", "tcp"} {
				talk := r.talk(c.from, network, netip.MustParseAddr(c.src), farEnd, c.isp)
				if talk.seen.Src.Addr().String() != c.nat {
					t.Errorf("%s: as %s, not %s", talk.name, talk.seen.Src, c.nat)
				}
				r.checkOffloaded(talk, true)
			}
		})
	}
	step := steps.Of(t)
	step.Run("an uplink that goes takes its connections to another", func(t *testing.T) {
		talk := r.talk(tagged, "udp", netip.MustParseAddr("192.168.30.11"), farEnd, "isp2")
		r.checkOffloaded(talk, true)
		r.Router.IP("link del wan2.7")
		r.router.must("apply")
		r.router.inSync()
		if devices := r.Router.Run("nft", "list", "flowtables"); strings.Contains(devices, "wan2.7") || !strings.Contains(devices, "tun3") {
			t.Errorf("without wan2.7:\n%s", devices)
		}
		if seen, err := talk.ask(); err != nil || seen.By != "isp1" {
			t.Errorf("its uplink is gone: %v by %q (%v)", seen.Src, seen.By, err)
		}
	})
}
