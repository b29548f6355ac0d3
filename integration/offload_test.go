package integration

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pbr/integration/lab"
)

var (
	byDefault6 = netip.MustParseAddr("2001:db8:10::10")
	bySecond6  = netip.MustParseAddr("2001:db8:10::11")
)

// Each connection stays on its uplink in both directions, with its address, its mark and its
// counters, and goes past the chains if it is to: default's, pinned ones, strict ones, those from
// outside; both IP versions, TCP and UDP.
func TestVMOffloadModes(t *testing.T) {
	// Without NAT, and with marks and rules before main's routes, the way back is the kernel's
	// hardest to find.
	noNAT := strings.NewReplacer("[pbr]\n", "[pbr]\nmain-first = \"off\"\n", `nat = "masquerade"`, "", `nat = "198.51.100.2"`, "")
	for name, policy := range map[string]string{
		"unmarked": offloadPolicy(`"unmarked"`), "all": offloadPolicy(`"all"`),
		"all, no NAT, main last": noNAT.Replace(offloadPolicy(`"all"`)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newOffloadRig(t, policy)
			r.router.must("apply")
			r.router.inSync()
			all := name != "unmarked"
			for _, c := range []struct {
				src     netip.Addr
				isp     string
				offload bool
			}{
				{byDefault, "isp1", true}, {bySecond, "isp2", all}, {byStrict, "isp2", all}, {byDefault6, "isp1", true},
				{bySecond6, "isp2", all},
			} {
				for _, network := range []string{"udp", "tcp"} {
					talk := r.talk(r.lan, network, c.src, far(c.src), c.isp)
					r.checkOffloaded(talk, c.offload)
					r.checkCounters(talk)
					r.checkInside(talk, c.isp != "isp1")
				}
			}
			r.lan.ServeEcho(serverPort)
			for _, isp := range r.Spec.ISPs {
				conn, err := r.ISPs[isp.Name].Dial("udp", netip.Addr{}, netip.MustParseAddrPort("192.168.10.10:2000"), lab.DialOptions{})
				if err != nil {
					t.Fatal(err)
				}
				in := &talk{Conn: conn, rig: r, name: "from outside by " + isp.Name}
				if in.seen, err = in.ask(); err != nil {
					t.Fatalf("%s: %v", in.name, err)
				}
				r.checkOffloaded(in, all || isp.Name == "isp1")
				r.checkInside(in, false)
			}
			r.router.inSync()
		})
	}
}

// checkCounters fails the test unless conntrack counted the packets that were offloaded.
func (r *offloadRig) checkCounters(c *talk) {
	r.t.Helper()
	total, entry := 0, c.entry()
	for _, m := range regexp.MustCompile(`packets=(\d+)`).FindAllStringSubmatch(entry, -1) {
		n, _ := strconv.Atoi(m[1])
		total += n
	}
	if total < 28 {
		r.t.Errorf("%s: conntrack counted %d packets: %s", c.name, total, entry)
	}
}

// checkInside fails the test unless the connection's mark says whether it is a pinned one that was
// opened from inside.
func (r *offloadRig) checkInside(c *talk, want bool) {
	r.t.Helper()
	bit, entry := r.router.insideBit(), c.entry()
	m := regexp.MustCompile(`mark=(\d+)`).FindStringSubmatch(entry)
	if bit == 0 || m == nil {
		r.t.Fatalf("%s: the inside bit is %#x, conntrack says %q", c.name, bit, entry)
	}
	if mark, _ := strconv.ParseUint(m[1], 10, 32); (uint32(mark)&bit != 0) != want {
		r.t.Errorf("%s: the mark has the inside bit: %v: %s", c.name, !want, entry)
	}
}

// What ends an offloaded connection, or moves it: deletion from conntrack, a carrier that is lost,
// a route that goes and comes, another policy. Nothing of it takes longer than a packet, and no
// daemon runs.
func TestVMOffloadEnds(t *testing.T) {
	t.Parallel()
	r := newOffloadRig(t, offloadPolicy(`"all"`))
	r.router.must("apply")
	first, second := r.talk(r.lan, "udp", byDefault, farEnd, "isp1"), r.talk(r.lan, "udp", bySecond, farEnd, "isp2")
	r.checkOffloaded(first, true)
	r.checkOffloaded(second, true)

	r.Router.Run("conntrack", "-D", "-p", "udp", "--orig-port-dst", "7777", "--orig-src", bySecond.String())
	if entry := second.entry(); entry != "" {
		t.Errorf("deleted, and still there: %s", entry)
	}
	second.answered(1)
	r.checkOffloaded(second, true)

	r.ISPs["isp1"].IP("link set up0 down")
	if seen, err := first.ask(); err != nil || seen.By != "isp2" || seen.Src.Addr().String() != "198.51.100.2" {
		t.Errorf("carrier lost: %v by %q (%v)", seen.Src, seen.By, err)
	}
	first.seen, _ = first.ask()
	r.checkOffloaded(first, true)
	r.checkOffloaded(second, true)

	r.ISPs["isp1"].IP("link set up0 up", "route add 192.168.10.0/24 via 192.0.2.2 dev up0 onlink")
	r.router.must("apply")
	if talk := r.talk(r.lan, "udp", byDefault, farEnd, "isp1"); talk != nil {
		r.checkOffloaded(talk, true)
	}
	first.answered(3) // begun by isp2 meanwhile, pinned there
	r.checkOffloaded(first, true)

	r.router.must("uplink", "isp2", "down")
	if seen, err := second.ask(); err != nil || seen.By != "isp1" {
		t.Errorf("its uplink is down: %v by %q (%v)", seen.Src, seen.By, err)
	}
	r.router.must("uplink", "isp2", "auto")

	r.apply(offloadPolicy(`"off"`))
	r.router.inSync()
	r.checkOffloaded(r.talk(r.lan, "udp", bySecond, farEnd, "isp2"), false)
	r.router.must("flush")
	if left := r.Router.Run("nft", "list", "tables"); strings.Contains(left, "pbr") {
		t.Errorf("left behind: %s", left)
	}
}

func (r *offloadRig) apply(policy string) {
	r.t.Helper()
	r.router.apply(policy)
}

// pbr watch: failover flushes offloaded connections of the dead uplink, all others stay, a return
// pulls none over, and interfaces leave and enter the flowtable.
func TestVMOffloadWatch(t *testing.T) {
	t.Parallel()
	lab.NeedKernel(t, "nf_flow_table")
	r := &offloadRig{startWatched(t, offloadPolicy(`"all"`), 2)}
	r.Router.NFT(passing)
	first, second := r.talk(r.lan, "tcp", byDefault, farEnd, "isp1"), r.talk(r.lan, "tcp", bySecond, farEnd, "isp2")
	stream := r.lan.Stream(byDefault, farEnd, 10*streamPace)
	r.waitAnswered(stream, "isp1")
	r.checkOffloadedEntry(first)
	r.dead("isp1", "9.9.9.9")
	r.waitAnswered(stream, "isp2")
	r.logged("flushed connections", "isp1")
	if seen, err := first.Ask(); err == nil {
		t.Errorf("a connection of the dead uplink still works: %v by %s", seen.Src, seen.By)
	}
	second.answered(3)
	r.checkOffloadedEntry(second)
	r.alive("isp1", "9.9.9.9")
	r.waitState("isp1", "up")
	r.waitArrives(byDefault, "isp1")
	second.answered(3)
	if tale := stream.Stop(); tale.Last != "isp2" {
		t.Errorf("the stream was pulled to %s when isp1 came back", tale.Last)
	}

	devices := func() string { return r.Router.Run("nft", "list", "flowtables") }
	r.Router.IP("link add br-new type veth peer name br-far", "addr add 192.168.77.1/24 dev br-new")
	lab.WaitFor(t, "the new interface to be in the flowtable", func() bool { return strings.Contains(devices(), "br-new") })
	r.Router.IP("link del br-new", "link add br-new type veth peer name br-far", "addr add 192.168.77.1/24 dev br-new")
	lab.WaitFor(t, "the interface that is new again to be there", func() bool { return strings.Contains(devices(), "br-new") })
	r.Router.IP("addr del 192.168.77.1/24 dev br-new")
	lab.WaitFor(t, "the interface without addresses to be out", func() bool { return !strings.Contains(devices(), "br-new") })
	r.router.inSync()
}

// checkOffloadedEntry fails the test unless conntrack says that the connection is offloaded.
func (r *offloadRig) checkOffloadedEntry(c *talk) {
	r.t.Helper()
	c.answered(3)
	if entry := c.entry(); !strings.Contains(entry, "[OFFLOAD]") {
		r.t.Errorf("%s: conntrack says %s", c.name, entry)
	}
}
