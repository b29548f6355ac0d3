package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// twoUplinks is a policy for newKernel's namespace.
const twoUplinks = `
[[uplink]]
name = "isp1"
interface = "w1"
gateway = "192.0.2.1"
gateway6 = "fe80::1"
nat = "masquerade"

[[uplink]]
name = "isp2"
interface = "w2"
gateway = "198.51.100.1"
gateway6 = "fe80::1"
nat = "masquerade"

[default]
routes = [ { uplink = "isp1", distance = 1 }, { uplink = "isp2", distance = 2 } ]

[[table]]
name = "both"
routes = [ { uplink = "isp1" }, { uplink = "isp2" } ]

[[policy]]
name = "web"
dport = 443
proto = "tcp"
table = "both"
`

// compile makes the plan for the namespace as it is.
func compile(t testing.TB, k *Kernel, text string, down compiler.Health) *plan.Plan {
	t.Helper()
	doc, problems := policy.Parse(fstest.MapFS{"pbr.toml": {Data: []byte(text)}}, "pbr.toml", "pbr.toml")
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	m, err := k.HostFacts(compiler.Needs(doc))
	must(t, err)
	p, problems := compiler.Compile(doc, m, down)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	return p
}

// spy lists the messages by which the kernel tells of changes of routes, rules, links, addresses
// and nftables.
type spy struct {
	conns []*netlink.Conn
}

func newSpy(t testing.TB) *spy {
	t.Helper()
	s := &spy{}
	for family, groups := range map[int][]uint32{
		unix.NETLINK_ROUTE: {unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE,
			unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE},
		unix.NETLINK_NETFILTER: {unix.NFNLGRP_NFTABLES},
	} {
		c, err := netlink.Dial(family, nil)
		must(t, err)
		t.Cleanup(func() { c.Close() })
		for _, g := range groups {
			must(t, c.JoinGroup(g))
		}
		s.conns = append(s.conns, c)
	}
	return s
}

var messageNames = map[netlink.HeaderType]string{
	unix.RTM_NEWROUTE: "new route", unix.RTM_DELROUTE: "delete route",
	unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWSETELEM: "new element",
	unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELSETELEM: "delete element",
	unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN:     "transaction",
}

// names reads what has been told so far. The kernel tells before it answers a request, so that all
// of it is there, and nothing to wait for.
func (s *spy) names(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, c := range s.conns {
		raw, err := c.SyscallConn()
		must(t, err)
		must(t, raw.Read(func(fd uintptr) bool {
			for {
				types, err := toldTypes(int(fd))
				if errors.Is(err, unix.EAGAIN) {
					return true
				}
				must(t, err)
				for _, kind := range types {
					name := messageNames[netlink.HeaderType(kind)]
					if name == "" {
						name = fmt.Sprintf("message 0x%x", kind)
					}
					out = append(out, name)
				}
			}
		}))
	}
	slices.Sort(out)
	return out
}

// toldTypes reads one datagram, if there is one, and returns the types of its messages.
func toldTypes(fd int) (types []uint16, err error) {
	b := make([]byte, 1<<16)
	n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
	if err != nil {
		return nil, err
	}
	msgs, err := syscall.ParseNetlinkMessage(b[:n])
	for _, m := range msgs {
		types = append(types, m.Header.Type)
	}
	return types, err
}

// TestUpdateSendsRoutesAndElementsAlone: a change of health touches no chain, nft rule or ip rule.
// Table "both" loses or gets back a next hop in both families, default a route in both, and the
// sets of default's primary uplinks their elements.
func TestUpdateSendsRoutesAndElementsAlone(t *testing.T) {
	k := newKernel(t)
	apply(t, k, compile(t, k, twoUplinks, nil))
	spy := newSpy(t)
	for _, step := range []struct {
		down compiler.Health
		want string
	}{
		{compiler.Down(map[string]int{"isp1": 1}),
			"delete element, delete element, delete route, delete route, new route, new route, transaction"},
		{nil, "new element, new element, new route, new route, new route, new route, transaction"},
		{compiler.Down(map[string]int{"isp2": 1}), "delete route, delete route, new route, new route"},
		{compiler.Down(map[string]int{"isp2": 1, "isp1": 2}), ""}, // the last one's routes stay
		{nil, "new route, new route, new route, new route"},
	} {
		want := compile(t, k, twoUplinks, step.down)
		spy.names(t)
		_, err := k.Update(context.Background(), want)
		must(t, err)
		if got := strings.Join(spy.names(t), ", "); got != step.want {
			t.Errorf("with %v down it sends %s, wanted %s", step.down, got, step.want)
		}
		isLive(t, k, want)
	}
}

// isLive fails unless the namespace holds the plan.
func isLive(t testing.TB, k *Kernel, want *plan.Plan) {
	t.Helper()
	have, err := k.Live(want)
	must(t, err)
	if c := plan.Diff(have, want); !c.Empty() {
		t.Fatalf("the kernel differs: %+v", c)
	}
}

// TestUpdateFindsOthersWork: where an Update cannot rely on what the last one left, it does what
// Apply does.
func TestUpdateFindsOthersWork(t *testing.T) {
	k := newKernel(t)
	up, down := compile(t, k, twoUplinks, nil), compile(t, k, twoUplinks, compiler.Down(map[string]int{"isp1": 1}))
	var err error
	update := func(p *plan.Plan) {
		t.Helper()
		_, err = k.Update(context.Background(), p)
		must(t, err)
		isLive(t, k, p)
	}
	update(down) // the first of all
	update(up)

	other := open(t, strings.TrimSuffix(k.dir, "/"+lastElement(k.dir)))
	apply(t, other, testPlan(planC))
	update(down)

	run(t, "nft add table inet stranger")
	update(up)

	apply(t, other, down)
	update(up)

	must(t, other.nft.Delete())
	update(down)

	_, err = k.Flush(context.Background())
	must(t, err)
	update(up)
	holds(t, k, up)
	update(testPlan(planA)) // other tables, marks and settings
	holds(t, k, testPlan(planA))
}

// TestUpdateAfterLossOfRoutes: the kernel took routes away with a link, without a word about the
// IPv4 ones.
func TestUpdateAfterLossOfRoutes(t *testing.T) {
	k := newKernel(t)
	apply(t, k, compile(t, k, twoUplinks, nil))
	run(t, "ip link set w1 down")
	want := compile(t, k, twoUplinks, compiler.Down(map[string]int{"isp1": 1}))
	_, err := k.Update(context.Background(), want)
	must(t, err)
	isLive(t, k, want)
}

// TestFailedUpdateIsUndone: an Update that cannot be done leaves what was.
func TestFailedUpdateIsUndone(t *testing.T) {
	k := newKernel(t)
	up := compile(t, k, twoUplinks, nil)
	apply(t, k, up)
	before := everything(t)
	bad := compile(t, k, twoUplinks, compiler.Down(map[string]int{"isp1": 1}))
	last := &bad.Routes[len(bad.Routes)-1]
	last.Hops = []plan.Hop{{Dev: "absent0", Weight: 1}}
	_, err := k.Update(context.Background(), bad)
	var failed *ApplyError
	if !errors.As(err, &failed) || failed.Undo != nil || !strings.Contains(err.Error(), "absent0") {
		t.Fatalf("got %v", err)
	}
	if after := everything(t); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := k.Update(ctx, compile(t, k, twoUplinks, compiler.Down(map[string]int{"isp1": 1}))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if after := everything(t); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
	want := compile(t, k, twoUplinks, compiler.Down(map[string]int{"isp2": 1}))
	_, err = k.Update(context.Background(), want)
	must(t, err)
	isLive(t, k, want)
}

// TestUpdateRefusesALockedNamespace: another process' apply must not be mixed with.
func TestUpdateRefusesALockedNamespace(t *testing.T) {
	k := newKernel(t)
	up := compile(t, k, twoUplinks, nil)
	apply(t, k, up)
	other := open(t, strings.TrimSuffix(k.dir, "/"+lastElement(k.dir)))
	unlock, err := other.Lock("apply")
	must(t, err)
	defer unlock()
	var locked *LockedError
	if _, err := k.Update(context.Background(), up); !errors.As(err, &locked) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkUpdate is a failover and its return, of two uplinks.
func BenchmarkUpdate(b *testing.B) {
	k := newKernel(b)
	plans := []*plan.Plan{compile(b, k, twoUplinks, nil), compile(b, k, twoUplinks, compiler.Down(map[string]int{"isp1": 1}))}
	_, err := k.Apply(context.Background(), plans[0])
	must(b, err)
	for i := 1; b.Loop(); i++ {
		_, err := k.Update(context.Background(), plans[i%2])
		must(b, err)
	}
}

// BenchmarkApplyFailover is the same by Apply, which reads the kernel before and after.
func BenchmarkApplyFailover(b *testing.B) {
	k := newKernel(b)
	plans := []*plan.Plan{compile(b, k, twoUplinks, nil), compile(b, k, twoUplinks, compiler.Down(map[string]int{"isp1": 1}))}
	for i := 0; b.Loop(); i++ {
		_, err := k.Apply(context.Background(), plans[i%2])
		must(b, err)
	}
}
