package integration

import (
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// actionPolicy sends everybody by isp1; acting adds policies that let hosts 12 and 13, and a user
// of the router, nowhere.
const (
	actionPolicy = `
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
gateway6 = "2001:db8:f1::1"
nat = "masquerade"
[default]
routes = { uplink = "isp1" }
`
	acting = `
[[policy]]
name = "told"
src = ["192.168.10.12", "2001:db8:10::12"]
action = "unreachable"
[[policy]]
name = "silent"
src = ["192.168.10.13", "2001:db8:10::13"]
action = "drop"
comment = "bedtime"
[[policy]]
name = "absent"
uplink = "isp9"
disabled = true
[[uplink]]
name = "isp9"
interface = "wan9"
comment = "to come"
disabled = true
[[policy]]
name = "user"
from = "local"
uid = 1500
action = "unreachable"
`
)

// An action refuses new connections, with an error or silently, and leaves those that run alone;
// only where pbr's table was not there, they are not let through either. Networks inside stay
// reachable, as with any target.
func TestPolicyAction(t *testing.T) {
	t.Parallel()
	w := newWatchedNet(t, actionPolicy,
		lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 12, 13), lab.LAN("other", "br-other", 20, 10)},
			ISPs: []lab.ISPSpec{lab.ISP(1)}})
	w.LANs["other"].ServeEcho(7777)
	w.router.must("apply")
	told, silent := netip.MustParseAddr("192.168.10.12"), netip.MustParseAddr("192.168.10.13")
	runs := append(w.calls(1, told, "isp1").conns, w.calls(1, silent, "isp1").conns...)
	w.router.apply(actionPolicy + acting)
	w.Router.NFT(`table inet leaks { chain out { type filter hook postrouting priority -160; ` +
		`oifname "wan1" meta skuid 1500 counter; oifname "wan1" ct state new counter; }; }`)
	step := steps.Of(t)
	step.Run("the first packet is refused or dropped, and none leaks", func(t *testing.T) {
		w.refused(told, "action = unreachable")
		for _, src := range []string{"192.168.10.13", "2001:db8:10::12", "2001:db8:10::13"} {
			if by := w.arrives(netip.MustParseAddr(src)); by != "" {
				t.Errorf("a new connection of %s arrives at %s", src, by)
			}
		}
		if err := w.Router.SendUDP(netip.Addr{}, 20001, farEnd, 1500, 0, 1); err == nil {
			t.Error("a user's packet is not refused")
		}
		w.noLeaks()
	})
	step.Run("running connections and networks inside go on", func(t *testing.T) {
		for _, conn := range runs {
			if seen, err := conn.Ask(); err != nil || seen.By != "isp1" {
				t.Errorf("a running connection: %v, %v", seen, err)
			}
		}
		if seen, err := w.lan.AskOnce("tcp", told, netip.MustParseAddrPort("192.168.20.10:7777"), lab.DialOptions{}); err != nil {
			t.Errorf("a network inside: %v, %v", seen, err)
		}
	})
	step.Run("explain says which policy drops", func(t *testing.T) {
		explained := w.router.must("explain", "192.168.10.13", "9.9.9.9:443/tcp")
		if !strings.Contains(explained, "silent (") || !strings.Contains(explained, "dropped") {
			t.Errorf("explain:\n%s", explained)
		}
	})
	step.Run("status shows actions, comments and what is disabled", func(t *testing.T) {
		status := w.router.pbr("status").Stdout
		for _, text := range []string{"unreachable", "drop", "COMMENT", "bedtime", "disabled: uplink isp9 (to come), policy absent"} {
			if !strings.Contains(status, text) {
				t.Errorf("status does not show %q:\n%s", text, status)
			}
		}
		w.router.inSync()
	})

	step.Run("a table that is recreated ends connections that it must not let through", func(t *testing.T) {
		w.Router.Run("nft", "delete", "table", "inet", "pbr")
		w.router.must("apply")
		for i, conn := range runs {
			if seen, err := conn.Ask(); err == nil {
				t.Errorf("connection %d, whose table was not there, still arrives at %s", i, seen.By)
			}
		}
	})
}
