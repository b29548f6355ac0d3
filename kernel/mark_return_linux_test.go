package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	lib "github.com/ti-mo/conntrack"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
	"pbr/integration/steps"
	"pbr/kernel/internal/fault"
)

// strictText is a policy whose strict connections use the second uplink, of this name.
func strictText(mask uint32, name, more string) string {
	return fmt.Sprintf("[pbr]\noffload = \"off\"\nmark-mask = 0x%08x\n%s\n", mask, more) + fmt.Sprintf(`
[[uplink]]
name = "isp1"
interface = "w1"
gateway = "192.0.2.1"
[[uplink]]
name = %q
interface = "w2"
gateway = "198.51.100.1"
[default]
routes = [{ uplink = "isp1" }, { uplink = %[1]q, distance = 2 }]
[[policy]]
name = "s"
src = "10.8.0.0/16"
uplink = %[1]q
strict = true
`, name)
}

// TestConnectionsOfARolledBackPlan: connections that begin while a plan is in force get their
// uplinks' marks in the plan before when it is rolled back, and at each step until then none of
// their packets counts as unmarked. Those of names that the plan before does not have are deleted.
func TestConnectionsOfARolledBackPlan(t *testing.T) {
	k, c := newKernel(t), newConntrack(t)
	here := steps.InNamespace(t)
	plain := strings.Replace(strictText(0xff000000, "isp2", ""), "strict = true", "strict = false", 1)
	const safe = "[[policy]]\nname = \"safe\"\nsrc = \"10.8.0.0/16\"\nuplink = \"isp2\"\nstrict = true\n"
	for _, tc := range []struct {
		name, old, next string
		// transactions is how many come before the failure.
		transactions int
	}{
		{"another mask, another name", strictText(0xff000000, "isp2", ""), strictText(0x003f0000, "tunnel", "rule-priority = 12000"), 1},
		{"when the earlier marks are gone", strictText(0xff000000, "isp2", ""), strictText(0x003f0000, "tunnel", ""), 2},
		{"names that were not there", plain, strictText(0xff000000, "isp2", "") +
			"[[table]]\nname = \"more\"\nroutes = { uplink = \"isp2\" }\n", 1},
		{"a crowded mask", crowdText(0xf8, 25) + safe, crowdText(0x7c, 27) + safe, 2},
	} {
		here.Run(tc.name, func(t *testing.T) {
			must(t, c.Flush())
			old, next := compileFor(t, k, tc.old), compileFor(t, k, tc.next)
			_, err := k.Apply(context.Background(), old)
			must(t, err)
			r := &rolledBack{T: t, k: k, eye: open(t, t.TempDir()), c: c, old: old, next: next, left: tc.transactions}
			r.fail()
			r.wantNames()
		})
	}
}

// rolledBack is an apply of the next plan that fails.
type rolledBack struct {
	*testing.T
	k *Kernel
	// eye reads what is in force meanwhile.
	eye       *Kernel
	c         *lib.Conn
	old, next *plan.Plan
	// left is how many transactions are left before the failure, failed that it has come.
	left          int
	failed, quiet bool
	// unruled are marks of next that lead nowhere: those of default, and of tables that nothing
	// uses.
	unruled map[uint32]bool
	looks   int
}

// fail applies the next plan, and fails when its last transaction is in force.
func (r *rolledBack) fail() {
	r.Helper()
	state := faultState(r.T)
	r.k.step = func(what string) {
		if what == "nftables transaction" {
			r.left--
		}
	}
	fault.Set(r.message)
	_, err := r.k.Apply(context.Background(), r.next)
	fault.Set(nil)
	r.k.step = func(string) {}
	var failed *ApplyError
	if !errors.As(err, &failed) || failed.Undo != nil || !errors.Is(err, errInjected) {
		r.Fatalf("got %v", err)
	}
	if after := faultState(r.T); after != state {
		r.Errorf("not as before:\n%s\nbefore:\n%s", after, state)
	}
	if r.looks == 0 {
		r.Error("nothing was looked at during the rollback")
	}
}

// message sees each message to the kernel.
func (r *rolledBack) message(what string) error {
	switch {
	case r.quiet:
	case !r.failed && r.left <= 0 && what == "before listing routes or rules":
		r.failed = true
		connectionsOf(r.T, r.c, r.next)
		r.noteUnruled()
		return errInjected
	case r.failed && (strings.HasSuffix(what, "nftables transaction") || what == "before listing connections"):
		r.quiet = true
		r.noneUnmarked(what)
		r.quiet = r.Failed()
	}
	return nil
}

// noteUnruled notes which connections' packets have no mark under the next plan, nor need one
// later.
func (r *rolledBack) noteUnruled() {
	r.unruled = map[uint32]bool{}
	for _, p := range []*plan.Plan{r.old, r.next} {
		e, err := walk.New(&p.Ruleset)
		must(r.T, err)
		for _, n := range p.Numbers {
			for side, bit := range []uint32{0, p.Inside} {
				got := packetOf(r.T, e, netip.AddrFrom4([4]byte{10, 7, byte(side), 1}), n.Mark|bit)
				r.unruled[n.Mark|bit] = r.unruled[n.Mark|bit] || got.Mark == 0
			}
		}
	}
}

// noneUnmarked fails the test if a packet of one of the connections is not dropped, and its mark is
// one that no ip rule has.
func (r *rolledBack) noneUnmarked(when string) {
	r.looks++
	have, err := r.eye.Live(r.old)
	must(r.T, err)
	if have.Ruleset.Empty() {
		return
	}
	e, err := walk.New(&have.Ruleset)
	must(r.T, err)
	flows, err := r.c.Dump(nil)
	must(r.T, err)
	for _, f := range flows {
		got := packetOf(r.T, e, f.TupleOrig.IP.SourceAddress, f.Mark)
		if got.Verdict != walk.Dropped && !ruled(have, got.Mark) && !r.unruled[f.Mark&(r.old.Mask|r.next.Mask)] {
			r.Errorf("%s: a connection with mark 0x%x: its packet has mark 0x%x, which no rule has", when, f.Mark, got.Mark)
		}
	}
}

// packetOf walks a packet from inside of a connection that connectionsOf has made.
func packetOf(t *testing.T, e *walk.Evaluator, src netip.Addr, mark uint32) walk.Result {
	p := walk.Packet{IIF: "lan0", Src: src, Dst: netip.MustParseAddr("8.8.8.8"), Reply: src.As4()[2] == 0,
		Proto: 17, SPort: 1000, DPort: 53, CTMark: mark, CTState: walk.StateEstablished, CTStatus: walk.StatusConfirmed}
	got, err := e.Walker().Walk("prerouting", &p)
	must(t, err)
	return got
}

// ruled reports whether an ip rule of pbr's looks a mark up.
func ruled(p *plan.Plan, mark uint32) bool {
	for _, r := range p.Rules {
		if r.Protocol == plan.Protocol && r.Mark != 0 && mark&r.MarkMask == r.Mark {
			return true
		}
	}
	return false
}

// wantNames fails the test unless each connection has the number in the old plan that belongs to
// its name in the next one.
func (r *rolledBack) wantNames() {
	r.Helper()
	want := map[string]string{}
	for i, n := range r.next.Numbers {
		name := strings.Replace(n.Name, "tunnel", "isp2", 1)
		uplink, variant := plan.NameOf(name)
		for _, o := range r.old.Numbers {
			if same := o.Name == name || o.Name == uplink && variant != ""; n.Mark == 0 || !same {
				continue
			}
			for side := range 2 { // from inside, and from outside
				want[netip.AddrFrom4([4]byte{10, 7, byte(side), byte(i + 1)}).String()] = o.Name
			}
		}
	}
	if got, _ := namesOf(r.T, r.c, r.old); fmt.Sprint(got) != fmt.Sprint(want) {
		r.Errorf("connections are of %v, not %v", got, want)
	}
}
