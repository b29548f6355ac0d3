package integration

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// untranslatedPolicy has a primary uplink that translates nothing, and one that translates all.
// Host .12 uses the first line by a rule, for want of another.
var untranslatedPolicy = strings.NewReplacer(`nat = "masquerade"`, `nat = "none"`, `nat = "198.51.100.2"`, `nat = "masquerade"`).
	Replace(watchPolicy[:strings.Index(watchPolicy, "[[table]]")]) + `
[[table]]
name = "first-alone"
routes = { uplink = "isp1" }
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[rule]]
name = "first"
src = "192.168.10.12"
table = "first-alone"
`

// refuseLAN has a provider drop and count packets with sources of the LAN, as providers do.
func (w *watched) refuseLAN(isp string) {
	w.t.Helper()
	w.ISPs[isp].NFT(`table inet leak {
	counter seen { }
	chain pre { type filter hook prerouting priority -360; iifname up0 jump lan; }
	chain lan { ip saddr 192.168.10.0/24 counter name seen drop; ip6 saddr 2001:db8:10::/64 counter name seen drop; }
}
`)
}

// untranslatedAt is how many such packets have come.
func (w *watched) untranslatedAt(isp string) int {
	w.t.Helper()
	n, err := strconv.Atoi(regexp.MustCompile(`packets (\d+)`).FindStringSubmatch(
		w.ISPs[isp].Run("nft", "list", "counter", "inet", "leak", "seen"))[1])
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// connectionID returns the id of the connection that conntrack has of a host to a port.
func (w *watched) connectionID(src netip.Addr, dst netip.AddrPort) string {
	w.t.Helper()
	list := w.Router.Run("conntrack", "-L", "-o", "id", "-s", src.String(), "-d", dst.Addr().String(), "-p", "tcp",
		"--dport", strconv.Itoa(int(dst.Port())))
	m := regexp.MustCompile(`id=(\d+)`).FindStringSubmatch(list)
	if m == nil {
		w.t.Fatalf("no connection of %s to %s\n%s", src, dst, w.routesText())
	}
	return m[1]
}

// pings counts the answers to a ping that runs until the test ends.
func (w *watched) pings(dst string) func() int {
	w.t.Helper()
	heard := &monitor{}
	cmd := w.lan.Command("ping", "-n", "-i", "0.02", "-I", byDefault.String(), dst)
	if strings.Contains(dst, ":") {
		cmd = w.lan.Command("ping", "-n", "-i", "0.02", "-I", byDefault6.String(), dst)
	}
	cmd.Stdout = heard
	if err := w.lan.Start(cmd); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return func() int { return strings.Count(heard.text(), "bytes from") }
}

// A primary uplink that translates nothing fails in each way: its connections, whose addresses say
// nothing of it, are flushed, and what follows is translated. Others stay.
func TestWatchUntranslatedPrimaryFails(t *testing.T) {
	t.Parallel()
	w := startWatched(t, untranslatedPolicy, 2)
	w.refuseLAN("isp2")
	w.Router.ServeEcho(serverPort)
	inside := netip.AddrPortFrom(netip.MustParseAddr("192.168.10.1"), serverPort)
	toRouter, err := w.lan.Dial("tcp", byDefault, inside, lab.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.calls(1, byStrict, "isp1") // -- by the rule, to a table that has no other uplink
	ids := func() []string { return []string{w.connectionID(byDefault, inside), w.connectionID(byStrict, farEnd)} }
	kept := ids()
	ping4, ping6 := w.pings("198.18.0.99"), w.pings("2001:db8:ffff::99")
	far6 := netip.MustParseAddrPort("[2001:db8:ffff::99]:7777")
	for _, trouble := range []struct {
		name    string
		off, on func()
		// works means that the line still carries what is sent out of it.
		works bool
	}{
		{"order", func() { w.router.must("uplink", "isp1", "down") }, func() { w.router.must("uplink", "isp1", "auto") }, true},
		{"check", func() { w.dead("isp1", "9.9.9.9") }, func() { w.alive("isp1", "9.9.9.9") }, true},
		{"link", func() { w.Router.IP("link set wan1 down") }, func() {
			w.Router.IP("link set wan1 up", "addr replace 2001:db8:f1::2/64 dev wan1")
		}, false},
	} {
		steps.Of(t).Run(trouble.name, func(t *testing.T) {
			w.waitArrives(byDefault, "isp1")
			w.waitArrives(byDefault6, "isp1")
			four, six := w.calls(3, byDefault, "isp1"), w.calls(3, byDefault6, "isp1")
			stream4, stream6 := w.lan.Stream(byDefault, farEnd, streamPace), w.lan.Stream(byDefault6, far6, streamPace)
			w.waitAnswered(stream4, "isp1")
			w.waitAnswered(stream6, "isp1")
			trouble.off()
			w.waitAnswered(stream4, "isp2")
			w.waitAnswered(stream6, "isp2")
			if a, b := four.broken(), six.broken(); a != 3 || b != 3 {
				t.Errorf("of 3 connections of IPv4 %d were flushed, of IPv6 %d", a, b)
			}
			before, answered4, answered6 := w.untranslatedAt("isp2"), ping4(), ping6()
			lab.WaitFor(t, "both pings to be answered by the other line", func() bool {
				return ping4() > answered4+20 && ping6() > answered6+20
			})
			if n := w.untranslatedAt("isp2") - before; n > 0 {
				t.Errorf("%d packets with sources of the LAN came to isp2 after the flush", n)
			}
			if tale := stream4.Stop(); tale.Last != "isp2" {
				t.Errorf("IPv4: %v", tale)
			}
			if tale := stream6.Stop(); tale.Last != "isp2" {
				t.Errorf("IPv6: %v", tale)
			}
			if trouble.works && !slices.Equal(ids(), kept) {
				t.Errorf("connections that do not use default were flushed: ids %v, before %v", ids(), kept)
			}
			trouble.on()
		})
	}
	if _, err := toRouter.Ask(); err != nil {
		t.Error(err)
	}
}

// What stays on a primary uplink that translates nothing stays there, also when default leaves it.
func TestWatchUntranslatedPrimaryKeeps(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(untranslatedPolicy, "up-after = 2\n", "up-after = 2\nmax-loss = \"20%\"\nover = 6\n", 1)
	w := startWatched(t, policy, 2)
	w.refuseLAN("isp2")
	four, six := w.calls(3, byDefault, "isp1"), w.calls(3, byDefault6, "isp1")
	step := steps.Of(t)
	step.Run("degraded", func(t *testing.T) {
		w.ISPs["isp1"].NFT("table inet loss { chain pre { type filter hook prerouting priority -340; " +
			"ip daddr 9.9.9.9 numgen inc mod 2 0 drop; }\n}\n")
		w.waitState("isp1", "degraded")
		w.waitArrives(byDefault, "isp2")
		four.stillUp("isp1 degraded")
		six.stillUp("isp1 degraded")
		w.ISPs["isp1"].NFT("delete table inet loss\n")
		w.waitState("isp1", "up")
		w.waitArrives(byDefault, "isp1")
	})
	step.Run("down, with on-failover = \"keep\"", func(t *testing.T) {
		w.router.write("[pbr]\non-failover = \"keep\"\n" + policy)
		w.router.must("apply")
		more4, more6 := w.calls(2, byDefault, "isp1"), w.calls(2, byDefault6, "isp1")
		w.router.must("uplink", "isp1", "down")
		w.waitArrives(byDefault, "isp2")
		for _, c := range []*calls{four, six, more4, more6} {
			c.stillUp("isp1 down, kept")
		}
	})
	if n := w.untranslatedAt("isp2"); n > 0 {
		t.Errorf("%d packets with sources of the LAN came to isp2", n)
	}
}
