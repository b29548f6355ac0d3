package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"pbr/integration/lab"
)

// uplinkText is an uplink of lab.ISP(n), translated or not.
func uplinkText(n int, nat string) string {
	isp := lab.ISP(n)
	return fmt.Sprintf("[[uplink]]\nname = %q\ninterface = %q\ngateway = \"%s\"\ngateway6 = \"%s\"\nnat = %q\n",
		isp.Name, isp.Iface, isp.Gateway4, isp.Gateway6, nat)
}

// defaultText is [default] over uplinks isp1 and so on, by distance; 0 leaves one out.
func defaultText(distances ...int) string {
	var routes []string
	for i, d := range distances {
		if d > 0 {
			routes = append(routes, fmt.Sprintf("{ uplink = \"isp%d\", distance = %d }", i+1, d))
		}
	}
	if routes == nil {
		return ""
	}
	return "[default]\nroutes = [" + strings.Join(routes, ", ") + "]\n"
}

// primaryEdits are edits of [default] that change which uplink is its primary one.
var primaryEdits = []struct {
	name          string
	before, after []int
}{
	{"distances swapped", []int{1, 2}, []int{2, 1}},
	{"a new uplink in front", []int{2, 0}, []int{2, 0, 1}},
	{"to equal distances", []int{1, 2}, []int{1, 1}},
	{"from equal distances", []int{1, 1}, []int{1, 2}},
	{"the primary uplink is left out", []int{1, 2}, []int{0, 2}},
	{"no default any more", []int{1, 2}, nil},
}

// client is a connection that has to continue as it began.
type client struct {
	what  string
	conn  *lab.Conn
	first lab.Seen
}

// openClients opens connections from the LAN and from the router itself, over TCP and UDP, IPv4 and
// IPv6.
func openClients(t *testing.T, n *lab.Net, each int) (list []client) {
	t.Helper()
	for _, from := range []struct {
		host *lab.Host
		srcs []string
	}{{n.LANs["lan"], []string{"192.168.10.10", "2001:db8:10::10"}}, {n.Router, []string{"", ""}}} {
		for i, dst := range []string{"9.9.9.9", "2001:db8:ffff::9"} {
			for _, network := range []string{"tcp", "udp"} {
				for range each {
					var src netip.Addr
					if from.srcs[i] != "" {
						src = netip.MustParseAddr(from.srcs[i])
					}
					what := fmt.Sprintf("%s's %s to %s", from.host.Name, network, dst)
					c, err := from.host.Dial(network, src, netip.AddrPortFrom(netip.MustParseAddr(dst), 443), lab.DialOptions{})
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					seen, err := c.Ask()
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					list = append(list, client{what, c, seen})
				}
			}
		}
	}
	return list
}

// goOn fails the test unless all connections are answered from where they were at first.
func goOn(t *testing.T, when string, list []client) {
	t.Helper()
	broken := map[string]int{}
	for _, c := range list {
		for range 2 {
			if seen, err := c.conn.Ask(); err != nil || seen != c.first {
				broken[fmt.Sprintf("%s: %v, by %q", c.what, err, seen.By)]++
				break
			}
		}
	}
	for what, n := range broken {
		t.Errorf("%s: %d times %s", when, n, what)
	}
}

// Running connections of a healthy uplink stay on it when an edit makes another one default's
// primary uplink.
func TestEditsOfDefaultMoveNoConnection(t *testing.T) {
	t.Parallel()
	for _, nat := range []string{"masquerade", "none"} {
		for _, edit := range primaryEdits {
			t.Run(nat+" "+edit.name, func(t *testing.T) {
				t.Parallel()
				n := newEditNet(t)
				r := newRouter(n.Router)
				uplinks := "[pbr]\noffload = \"off\"\n" + uplinkText(1, nat) + uplinkText(2, nat) + uplinkText(3, nat)
				r.apply(uplinks + defaultText(edit.before...))
				list := openClients(t, n, 4)
				out := r.applyText(uplinks + defaultText(edit.after...))
				goOn(t, "after the edit ("+strings.TrimSpace(out)+")", list)
				r.inSync()
				r.apply(uplinks + defaultText(edit.before...))
				goOn(t, "and back", list)
			})
		}
	}
}

// newEditNet is a LAN behind a router with three providers that answer, and with one of which
// main's default route is.
func newEditNet(t *testing.T) *lab.Net {
	t.Helper()
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 12)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2), lab.ISP(3)},
	})
	for _, isp := range n.ISPs {
		isp.ServeInternet()
	}
	n.Router.IP("route add default via 203.0.113.1")
	n.Router.IP6("route add default via 2001:db8:f3::1")
	return n
}

// applyText makes a policy the router's and returns what pbr says.
func (r *router) applyText(policy string) string {
	r.T().Helper()
	r.write(policy)
	return r.must("apply")
}

// The same by a reload of pbr watch.
func TestReloadOfDefaultMovesNoConnection(t *testing.T) {
	t.Parallel()
	policy := "[pbr]\noffload = \"off\"\n" + uplinkText(1, "masquerade") + uplinkText(2, "masquerade")
	w := startWatched(t, policy+defaultText(1, 2), 2)
	list := openClients(t, w.Net, 3)
	for _, distances := range [][]int{{2, 1}, {1, 1}, {1, 2}} {
		w.router.write(policy + defaultText(distances...))
		before := strings.Count(w.log.text(), "reloaded the policy")
		if err := w.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		lab.WaitFor(t, "the reload", func() bool { return strings.Count(w.log.text(), "reloaded the policy") > before })
		goOn(t, fmt.Sprintf("distances %v", distances), list)
	}
}
