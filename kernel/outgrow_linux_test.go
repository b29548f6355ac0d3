package kernel

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	lib "github.com/ti-mo/conntrack"

	"pbr/compiler/plan"
)

// crowdText is a policy of so many names. Of masks of five bits 15 leave the inside bit and 31 fit.
func crowdText(mask uint32, names int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[pbr]\noffload = \"off\"\nmark-mask = 0x%08x\n", mask)
	for i, gateway := range []string{"192.0.2.1", "198.51.100.1"} {
		fmt.Fprintf(&b, "[[uplink]]\nname = \"isp%d\"\ninterface = \"w%[1]d\"\ngateway = %[2]q\n", i+1, gateway)
	}
	for i := range names - 2 {
		fmt.Fprintf(&b, "[[table]]\nname = \"t%d\"\nroutes = { uplink = \"isp2\" }\n", i)
	}
	b.WriteString("[default]\nroutes = { uplink = \"isp1\" }\n")
	return b.String()
}

// connectionsOf makes two connections for each name of a plan, from inside and from outside.
func connectionsOf(t *testing.T, c *lib.Conn, p *plan.Plan) {
	t.Helper()
	must(t, c.Flush())
	for i, n := range p.Numbers {
		for j, bit := range []uint32{0, p.Inside} {
			if n.Mark == 0 {
				continue
			}
			src := netip.AddrFrom4([4]byte{10, 7, byte(j), byte(i + 1)})
			must(t, c.Create(lib.NewFlow(17, 0, src, netip.MustParseAddr("8.8.8.8"), 1000, 53, 600, n.Mark|bit|0x3)))
		}
	}
}

// namesOf lists the names that the connections' marks stand for, by source; bit says whether the
// marks of those from inside have the bit.
func namesOf(t *testing.T, c *lib.Conn, p *plan.Plan) (names map[string]string, bit bool) {
	t.Helper()
	flows, err := c.Dump(nil)
	must(t, err)
	names = map[string]string{}
	marks := claimsOf(p)
	for _, f := range flows {
		n, _ := marks.Number(f.Mark & p.Mask)
		names[f.TupleOrig.IP.SourceAddress.String()] = n.Name
		bit = bit || n.Inside
		if f.Mark&0x3 != 0x3 {
			t.Errorf("mark 0x%x: others' bits", f.Mark)
		}
	}
	return names, bit
}

// crowding is an edit that adds many names at once, or removes them.
type crowding struct {
	*testing.T
	k         *Kernel
	c         *lib.Conn
	old, next *plan.Plan
	// total is how many steps it has.
	total int
	// parks means that the mask is too crowded for it: connections wait with a mark of their own,
	// and are deleted if the apply is killed meanwhile.
	parks bool
}

// apply makes the edit.
func (e *crowding) apply(k *Kernel) {
	e.Helper()
	r, err := k.Apply(context.Background(), e.next)
	must(e.T, err)
	if e.parks != (len(r.Warnings) > 0) {
		e.Errorf("warnings: %q", r.Warnings)
	}
}

// before applies the old plan, and returns whose its connections are.
func (e *crowding) before() map[string]string {
	e.Helper()
	_, err := e.k.Apply(context.Background(), e.old)
	must(e.T, err)
	connectionsOf(e.T, e.c, e.old)
	names, _ := namesOf(e.T, e.c, e.old)
	return names
}

// follows fails the test unless the next plan is in force, and connections have the marks that
// their names have in it. With lossy set, those that were parked may be gone.
func (e *crowding) follows(before map[string]string, when string, lossy bool) {
	e.Helper()
	holds(e.T, e.k, e.next)
	kept := map[string]bool{}
	for _, n := range e.next.Numbers {
		kept[n.Name] = true
	}
	for src, name := range before {
		if !kept[name] {
			before[src] = ""
		}
	}
	got, _ := namesOf(e.T, e.c, e.next)
	for src := range before {
		if _, there := got[src]; !there && e.parks && lossy {
			delete(before, src)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(before) {
		e.Errorf("%s: connections are of %v, not %v", when, got, before)
	}
}

// stopped interrupts the edit at a step: everything is as before.
func (e *crowding) stopped(n int) {
	before, state := e.before(), faultState(e.T)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	left := n
	e.k.step = func(string) {
		if left--; left == 0 {
			cancel()
		}
	}
	_, err := e.k.Apply(ctx, e.next)
	e.k.step = func(string) {}
	if err == nil {
		return
	}
	if after, bit := namesOf(e.T, e.c, e.old); fmt.Sprint(after) != fmt.Sprint(before) || bit != (e.old.Inside != 0) {
		e.Errorf("stopped at step %d of %d: connections are of %v, not %v: %v", n, e.total, after, before, err)
	}
	if faultState(e.T) != state {
		e.Errorf("stopped at step %d of %d: not as before", n, e.total)
	}
}

// killed kills the edit at a step, and repeats it.
func (e *crowding) killed(n int) {
	before := e.before()
	k := open(e.T, filepath.Dir(e.k.dir))
	killAt(k, n, func() { e.apply(k) })
	_, err := e.k.Apply(context.Background(), e.next)
	must(e.T, err)
	e.follows(before, fmt.Sprintf("killed at step %d of %d", n, e.total), true)
}

// TestManyNamesAtOnce: whatever step an apply is stopped or killed at that adds many names at once,
// or removes them, each connection has its name's mark after it, or after the next one.
func TestManyNamesAtOnce(t *testing.T) {
	k := newKernel(t)
	c := newConntrack(t)
	small, large := compileFor(t, k, crowdText(0xf8, 12)), compileFor(t, k, crowdText(0xf8, 26))
	shifted := compileFor(t, k, crowdText(0x7c, 28))
	if small.Inside == 0 || large.Inside != 0 {
		t.Fatal("both policies are on one side of the border")
	}
	for _, e := range []*crowding{
		{old: small, next: large}, {old: large, next: small},
		{old: large, next: shifted, parks: true},
	} {
		e.T, e.k, e.c = t, k, c
		before := e.before()
		k.step = func(string) { e.total++ }
		e.apply(k)
		k.step = func(string) {}
		e.follows(before, "applied", false)
		e.stopped(1 + rand.IntN(e.total))
		e.killed(rand.IntN(e.total))
	}
}

// fullText is a policy with a strict table that uses every value of a mask of five bits.
func fullText(mask uint32) string {
	return crowdText(mask, 29) + "[[policy]]\nname = \"safe\"\nsrc = \"10.7.0.1\"\nuplink = \"isp2\"\nstrict = true\n"
}

// TestNoRoomForStrictConnections: where a change of numbers would leave strict connections without
// their mark, it is refused, and nothing is changed.
func TestNoRoomForStrictConnections(t *testing.T) {
	k := newKernel(t)
	c := newConntrack(t)
	old, next := compileFor(t, k, fullText(0xf8)), compileFor(t, k, fullText(0x7c))
	if n := len(old.Numbers); n != 1+31 { // default's has no mark
		t.Fatalf("%d numbers do not fill the mask", n)
	}
	_, err := k.Apply(context.Background(), old)
	must(t, err)
	connectionsOf(t, c, old)
	names, _ := namesOf(t, c, old)
	_, err = k.Apply(context.Background(), next)
	if !Unfit(err) || !strings.Contains(err.Error(), "mark-mask 0x0000007c: no value is free") {
		t.Errorf("the change is not refused: %v", err)
	}
	holds(t, k, old)
	if now, _ := namesOf(t, c, old); fmt.Sprint(now) != fmt.Sprint(names) {
		t.Errorf("connections are of %v, not %v", now, names)
	}
}
