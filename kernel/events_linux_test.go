package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	rtnetlink "github.com/mdlayher/netlink"
	vishvananda "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/integration/steps"
	"pbr/kernel/netevents"
	"pbr/kernel/route"
)

// eventsOf begins to listen for the test.
func eventsOf(t testing.TB, k *Kernel) <-chan Event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ch, err := k.Events(ctx)
	must(t, err)
	return ch
}

// patience is how long a test waits for what has to come.
const patience = 10 * time.Second

func next(t testing.TB, ch <-chan Event) Event {
	t.Helper()
	select {
	case n, ok := <-ch:
		if !ok {
			t.Fatal("the channel is closed")
		}
		return n
	case <-time.After(patience):
		t.Fatal("no event")
	}
	return Event{}
}

// markers counts the links that until made.
var markers atomic.Int32

// until returns the events up to the one of a link that it makes, without that. It makes more than
// one if the first one is merged into another.
func until(t testing.TB, ch <-chan Event) []Event {
	t.Helper()
	var out []Event
	for {
		time.Sleep(2 * burst) // so that the link has an event of its own
		link := fmt.Sprintf("mark%d", markers.Add(1))
		run(t, "ip link add name "+link+" type bridge")
		for told := false; !told; {
			n := next(t, ch)
			if strings.HasPrefix(n.What, "link "+link) {
				return out
			}
			told = n.Kind == EventHost
			if !strings.HasPrefix(n.What, "link mark") {
				out = append(out, n)
			}
		}
	}
}

func TestNotices(t *testing.T) {
	k := newKernel(t)
	here := steps.InNamespace(t)
	for _, link := range []string{"w1", "x1", "w2", "x2"} {
		for !strings.Contains(run(t, "ip link show "+link), "state UP") { // the kernel tells of that a little later
		}
	}
	apply(t, k, testPlan(planA))
	gateway := plan.NextHop{Dev: "w1", Via: netip.MustParseAddr("2001:db8:77::1")}
	if _, err := k.HostFacts(plan.Needs{Gateways: []plan.NextHop{gateway}}); err != nil {
		t.Fatal(err)
	}
	ch := eventsOf(t, k)
	for _, c := range []struct {
		commands string
		// want has the kind, who and what of each event, as "drift nft: table inet pbr: 1 rule
		// added".
		want []string
	}{
		{"ip link set w2 mtu 1400", nil},
		{"ip link set w2 alias whatever", nil},
		{"ip address add 192.0.2.77/24 dev w1", []string{"machine : address 192.0.2.77/24 added to link w1"}},
		{"ip address change 192.0.2.77/24 dev w1 valid_lft 1000 preferred_lft 500", nil},
		{"ip address change 192.0.2.77/24 dev w1 valid_lft 1000 preferred_lft 0", nil}, // packets can be sent from it anyway
		{"ip address del 192.0.2.77/24 dev w1", []string{"machine : address 192.0.2.77/24 deleted from link w1"}},
		{"ip route replace default via 192.0.2.9 metric 7", []string{"machine : ip -4 route default"}},
		{"ip -6 route add default via 2001:db8:1::9 metric 7", []string{"machine : ip -6 route default"}},
		{"ip route add 10.9.0.0/24 dev w1", []string{"machine : ip -4 route 10.9.0.0/24"}},
		{"ip route add 10.8.0.0/24 via 192.0.2.1", nil},
		{"ip -6 route add 2001:db8:78::/64 via fe80::1 dev w1", nil},
		{"ip -6 route add 2001:db8:77::/64 via fe80::1 dev w2", []string{"machine : ip -6 route 2001:db8:77::/64"}}, // refuses gateway
		{"ip route add 10.9.0.0/24 via 192.0.2.1 table 500", nil},
		{"ip rule add priority 9001 lookup 500", nil},
		{"nft add rule inet foreign c counter", nil},
		{"nft add table inet pbr2", nil},
		{"nft add table ip pbr", nil},
		{"ip rule del priority 10000", []string{"drift ip: ip -4 rule 10000:"}},
		{"ip rule add priority 10500 lookup 500", []string{"drift ip: ip -4 rule 10500: lookup 500 proto 0 added"}},
		{"ip rule add priority 9002 lookup 500 protocol 112", []string{"drift ip: ip -4 rule 9002: lookup 500 added"}},
		{"ip -6 route flush table 112000", []string{"drift ip: ip -6 route default"}},
		{"ip route add 10.9.0.0/24 via 192.0.2.1 table 112001", []string{"drift ip: ip -4 route 10.9.0.0/24"}},
		{"ip route add 10.7.0.0/24 via 192.0.2.1 table 500 proto 112", []string{"drift ip: ip -4 route 10.7.0.0/24"}},
		{"nft add rule inet pbr pre counter", []string{"drift nft: table inet pbr: 1 rule added"}},
		{"nft flush chain inet pbr pre", []string{"drift nft: table inet pbr: 3 rules deleted"}},
		{"nft delete table inet pbr", []string{"drift nft: table inet pbr: 1 table deleted, 1 chain deleted, 2 objects deleted"}},
	} {
		here.Run(c.commands, func(t *testing.T) {
			run(t, c.commands)
			var got []string
			for _, n := range until(t, ch) {
				who, _, _ := strings.Cut(n.Who, " ")
				if who == "" && n.Kind == EventDrift {
					who = "ip" // that process may have ended before it could be examined
				}
				got = append(got, fmt.Sprintf("%s %s: %s", n.Kind, who, n.What))
			}
			if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
				t.Errorf("%s: got %q, wanted %q", c.commands, got, c.want)
			}
		})
	}
}

// TestNoticesOfLinks: the kernel tells of a link in bursts, of which the second may come a little
// later.
func TestNoticesOfLinks(t *testing.T) {
	k := newKernel(t)
	here := steps.InNamespace(t)
	apply(t, k, testPlan(planA))
	ch := eventsOf(t, k)
	for _, command := range []string{
		"ip link set x1 down", "ip link set x1 up", "ip link set w2 down", "ip link set w2 up", "ip link set w2 down",
		"ip link set w2 name w3",
		"ip link del w1", "ip link add w1 type bridge",
	} {
		here.Run(command, func(t *testing.T) {
			run(t, command)
			link := strings.Fields(command)[3]
			for {
				n := next(t, ch)
				if n.Kind != EventHost {
					t.Errorf("%s: got %+v", command, n)
				}
				if strings.Contains(n.What, link) || strings.Contains(n.What, " more)") {
					break
				}
			}
			until(t, ch)
		})
	}
}

// TestNoticeOfLostCarrier: what is down is the far end.
func TestNoticeOfLostCarrier(t *testing.T) {
	k := newKernel(t)
	w, err := k.route.Watch()
	must(t, err)
	defer w.Close()
	run(t, "ip link set x1 down")
	for {
		changes, err := w.Next()
		must(t, err)
		for _, c := range changes {
			if c.Text == "link w1 lost its carrier" {
				return
			}
		}
	}
}

// TestNoticesNameWhoLives: of a process that still runs the name and number are told, whichever
// netlink port it has.
func TestNoticesNameWhoLives(t *testing.T) {
	k := newKernel(t)
	apply(t, k, testPlan(planA))
	ch := eventsOf(t, k)
	cmd := exec.Command("ip", "-batch", "-")
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	_, err = fmt.Fprintln(in, "rule del priority 10000")
	must(t, err)
	n := next(t, ch)
	must(t, in.Close())
	must(t, cmd.Wait())
	if want := fmt.Sprintf("ip (process %d)", cmd.Process.Pid); n.Kind != EventDrift || n.Who != want {
		t.Errorf("got %+v, wanted it of %s", n, want)
	}
}

// TestNoticesOfOtherSockets: a second socket of one process, as of this one, has a port that is not
// its number.
func TestNoticesOfOtherSockets(t *testing.T) {
	k := newKernel(t)
	apply(t, k, testPlan(planA))
	ch := eventsOf(t, k)
	other := open(t, t.TempDir())
	must(t, other.route.DelRule(testPlan(planA).Rules[0]))
	if n := next(t, ch); n.Kind != EventDrift {
		t.Errorf("got %+v", n)
	}
	must(t, other.nft.Delete())
	n := next(t, ch)
	if !regexp.MustCompile(`^\S.* \(process \d+\)$`).MatchString(n.Who) || n.Kind != EventDrift {
		t.Errorf("got %+v", n)
	}
}

// TestPortsAreLookedUp: the port of a process' second netlink socket leads to the process too.
func TestPortsAreLookedUp(t *testing.T) {
	newKernel(t) // has some sockets open
	here := steps.InNamespace(t)
	conn, err := rtnetlink.Dial(unix.NETLINK_ROUTE, nil)
	must(t, err)
	defer conn.Close()
	if conn.PID() < 1<<22 {
		t.Fatalf("the port is %d", conn.PID())
	}
	who := newPeerNames()
	here.Run("the port of a second socket leads to its process", func(t *testing.T) {
		if got := who.port(conn.PID()); !strings.HasSuffix(got, fmt.Sprintf(" (process %d)", os.Getpid())) {
			t.Errorf("got %q", got)
		}
	})
	here.Run("a port that nobody has leads to none", func(t *testing.T) {
		if got := who.port(conn.PID() + 1); got != "" {
			t.Errorf("of a port that nobody has: %q", got)
		}
	})
	here.Run("a thread leads to its process", func(t *testing.T) {
		if got := who.task(unix.Gettid(), "other"); !strings.HasSuffix(got, fmt.Sprintf(" (process %d)", os.Getpid())) {
			t.Errorf("of a thread: %q", got)
		}
	})
	here.Run("a thread that has ended leads to its number", func(t *testing.T) {
		if got := who.task(1<<22+1, "ended"); got != "ended (process 4194305)" {
			t.Errorf("of a thread that has ended: %q", got)
		}
	})
}

// TestNoticesOfSettings: settings of the plan that somebody else changes are drift; others are
// nobody's business.
func TestNoticesOfSettings(t *testing.T) {
	k := newKernel(t)
	here := steps.InNamespace(t)
	p := compile(t, k, "[pbr]\nreverse-path = \"nft\"\nsysctl = true\n"+twoUplinks, nil)
	run(t, "sysctl -w net.ipv4.ip_forward=0")
	run(t, "sysctl -w net.ipv4.conf.all.rp_filter=2")
	ch := eventsOf(t, k)
	apply(t, k, p)
	step := steps.InNamespace(t).Steps()
	step.Run("what apply sets itself is not told", func(t *testing.T) {
		if got := until(t, ch); len(got) > 0 {
			t.Errorf("what apply sets itself is told: %v", got)
		}
	})
	for _, c := range []struct{ set, what string }{
		{"net.ipv4.conf.all.rp_filter=1", "net/ipv4/conf/all/rp_filter set to 1"},
		{"net.ipv4.conf.w1.rp_filter=1", "net/ipv4/conf/w1/rp_filter set to 1"},
		{"net.ipv4.ip_forward=0", "net/ipv4/ip_forward set to 0"},
		{"net.ipv6.conf.all.forwarding=0", "net/ipv6/conf/all/forwarding set to 0"},
		{"net.ipv4.conf.w2.ignore_routes_with_linkdown=0", "net/ipv4/conf/w2/ignore_routes_with_linkdown set to 0"},
	} {
		here.Run(c.set, func(t *testing.T) {
			run(t, "sysctl -w "+c.set)
			if n := next(t, ch); n.Kind != EventDrift || !strings.HasPrefix(n.What, c.what) {
				t.Errorf("%s: told %v", c.set, n)
			}
			until(t, ch)
			apply(t, k, p)
		})
	}
	step.Run("settings of others are not told", func(t *testing.T) {
		run(t, "sysctl -w net.ipv4.conf.x1.forwarding=0")
		run(t, "sysctl -w net.ipv4.conf.lo.rp_filter=1")
		if got := until(t, ch); len(got) > 0 {
			t.Errorf("settings of others are told: %v", got)
		}
	})
}

// TestOwnChangesAreSilent: whatever pbr does itself, no event comes of it.
func TestOwnChangesAreSilent(t *testing.T) {
	k := newKernel(t)
	ch := eventsOf(t, k)
	for i, do := range []func() error{
		func() error { _, err := k.Apply(context.Background(), testPlan(planA)); return err },
		func() error { _, err := k.Apply(context.Background(), testPlan(planB)); return err },
		func() error { _, err := k.Apply(context.Background(), compile(t, k, twoUplinks, nil)); return err },
		func() error {
			_, err := k.Update(context.Background(), compile(t, k, twoUplinks, compiler.Down(map[string]int{"isp1": 1})))
			return err
		},
		func() error { _, err := k.Update(context.Background(), compile(t, k, twoUplinks, nil)); return err },
		func() error { _, err := k.Flush(context.Background()); return err },
	} {
		must(t, do())
		if got := until(t, ch); len(got) > 0 {
			t.Errorf("after change %d: %+v", i, got)
		}
	}
}

// TestNoticesEnd: the end of the context closes the channel.
func TestNoticesEnd(t *testing.T) {
	k := newKernel(t)
	ctx, cancel := context.WithCancel(context.Background())
	ch, err := k.Events(ctx)
	must(t, err)
	cancel()
	select {
	case n, ok := <-ch:
		if ok {
			t.Errorf("got %+v", n)
		}
	case <-time.After(patience):
		t.Error("the channel stays open")
	}
}

// TestOverrunIsTold fills the queues of watchers that do not read.
func TestOverrunIsTold(t *testing.T) {
	k := newKernel(t)
	w, err := k.route.Watch()
	must(t, err)
	defer w.Close()
	var batch strings.Builder
	for i := range 60000 {
		fmt.Fprintf(&batch, "route add 10.%d.%d.%d/32 dev w1 table 500\n", 100+i>>16, i>>8&255, i&255)
	}
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := make(chan Event)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	who := newPeerNames()
	go listen(ctx, got, w.Next, func(c route.Change) (Event, bool) { return k.routeEvent(c, who) })
	for {
		n := next(t, got)
		if n.Kind == EventOverrun && n.What == "reading events of links, addresses, routes and rules: "+netevents.ErrOverrun.Error() {
			break
		}
	}
	run(t, "ip link add name after type bridge")
	for !strings.HasPrefix(next(t, got).What, "link after") {
	}
}

func TestGather(t *testing.T) {
	host := func(what string) Event { return Event{Kind: EventHost, What: what} }
	drift := func(who, what string) Event { return Event{Kind: EventDrift, Who: who, What: what} }
	overrun := Event{Kind: EventOverrun, What: "events were lost"}
	for name, c := range map[string]struct{ in, out []Event }{
		"one":     {[]Event{host("a")}, []Event{host("a")}},
		"a burst": {[]Event{host("a"), host("b"), host("c")}, []Event{host("a (and 2 more)")}},
		"kinds": {[]Event{host("a"), drift("x", "b"), drift("y", "c"), drift("x", "d")},
			[]Event{host("a"), drift("x", "b (and 1 more)"), drift("y", "c")}},
		"objects": {[]Event{
			{Kind: EventDrift, What: "a", Objects: []string{"chain x", "set y"}},
			{Kind: EventDrift, What: "b", Objects: []string{"set y", "rule z"}, TableGone: true}},
			[]Event{{Kind: EventDrift, What: "a (and 1 more)", Objects: []string{"chain x", "set y", "rule z"}, TableGone: true}}},
		"an overrun says it all": {[]Event{host("a"), overrun, drift("x", "b"), overrun}, []Event{overrun}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in, out := make(chan Event), make(chan Event)
				ctx, cancel := context.WithCancel(context.Background())
				go gather(ctx, in, out)
				for range 2 { // the second burst has nothing of the first
					begin := time.Now()
					for _, n := range c.in {
						in <- n
					}
					var got []Event
					for range c.out {
						got = append(got, <-out)
					}
					if !reflect.DeepEqual(got, c.out) {
						t.Errorf("got %+v, wanted %+v", got, c.out)
					}
					if d := time.Since(begin); d != burst {
						t.Errorf("after %s", d)
					}
				}
				cancel()
				if n, ok := <-out; ok {
					t.Errorf("and then %+v", n)
				}
			})
		})
	}
}

// carrier returns a func that takes w1's carrier away and gives it back, by turns.
func carrier(b *testing.B) func() {
	b.Helper()
	h, err := vishvananda.NewHandle(unix.NETLINK_ROUTE)
	must(b, err)
	b.Cleanup(func() { h.Close() })
	peer, err := h.LinkByName("x1")
	must(b, err)
	up := true
	return func() {
		if up = !up; up {
			must(b, h.LinkSetUp(peer))
		} else {
			must(b, h.LinkSetDown(peer))
		}
	}
}

// BenchmarkEventOfCarrier is from the request that changes an uplink's carrier to the event of
// it, most of which is the wait for the end of the burst.
func BenchmarkEventOfCarrier(b *testing.B) {
	k := newKernel(b)
	ch := eventsOf(b, k)
	flip := carrier(b)
	for b.Loop() {
		flip()
		for !strings.Contains(next(b, ch).What, "link ") {
		}
	}
}
