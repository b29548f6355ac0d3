//go:build linux

package nft

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pbr/compiler/plan"
)

// layer is a ruleset that looks four fields up in a map of n elements, each of a network of its
// own, and counts what the map does not know. Elements lead to chain "a".
func layer(n int) *plan.Ruleset {
	s := plan.Set{Name: "layer", Concat: fourFields, Interval: true, Map: true}
	for i := range n {
		from := 0x7f000000 + uint32(i)<<4
		s.Tuples = append(s.Tuples, tuple(fourFields, "a", plan.Span{From: u32(from), To: u32(from + 15)},
			between("127.0.0.0", "127.255.255.255"),
			one(u8(17)), plan.Span{From: u16(1000), To: u16(1999)}))
	}
	counted := func(name string) []plan.ChainRule {
		return []plan.ChainRule{doing(plan.Count{Counter: name}, plan.Accept{})}
	}
	return &plan.Ruleset{
		Counters: []plan.Counter{{Name: "a"}, {Name: "b"}, {Name: "missed"}},
		Sets:     []plan.Set{{Name: "clients", Type: plan.TypeIPv4, Map: true, Data: plan.TypeMark, Dynamic: true, Size: 100}, s},
		Chains: []plan.Chain{{Name: "a", Rules: counted("a")}, {Name: "b", Rules: counted("b")},
			{Name: "out", Kind: "filter", Hook: "output", Priority: -150, Rules: []plan.ChainRule{
				inFamily(2, plan.Remember{Field: plan.FieldIPSAddr, Mask: 0xffffffff, Timeout: 3600, Set: "clients"},
					several("layer", plan.FieldIPSAddr, plan.FieldIPDAddr, plan.FieldL4Proto, plan.FieldDPort)),
				{Matches: []plan.Match{is(plan.FieldL4Proto, u8(17))}, Actions: []plan.Action{plan.Count{Counter: "missed"}}}}}}}
}

// exactly is layer with a map without intervals, addresses with one of addresses alone.
func exactly(n int) *plan.Ruleset {
	r := layer(0)
	s := &r.Sets[1]
	s.Concat, s.Interval = ipPort, false
	for i := range n {
		s.Tuples = append(s.Tuples, tuple(ipPort, "a", one(u32(0x7f000001+uint32(i)<<4)), one(u16(1500))))
	}
	r.Chains[2].Rules[0].Actions[1] = several("layer", plan.FieldIPSAddr, plan.FieldDPort)
	return r
}

func addresses(n int) *plan.Ruleset {
	r := layer(0)
	s := &r.Sets[1]
	s.Concat, s.Type = nil, plan.TypeIPv4
	for i := range n {
		from := 0x7f000000 + uint32(i)<<4
		s.Elements = append(s.Elements, going(span(u32(from), u32(from+15)), "a"))
	}
	r.Chains[2].Rules[0].Actions[1] = plan.VMap{Field: plan.FieldIPSAddr, Set: "layer"}
	return r
}

// edited is a copy of r in which change has done something to the elements of the map.
func edited(r *plan.Ruleset, change func([]plan.Tuple) []plan.Tuple) *plan.Ruleset {
	c := *r
	c.Sets = slices.Clone(r.Sets)
	c.Sets[1].Tuples = change(slices.Clone(r.Sets[1].Tuples))
	return &c
}

// leading makes elements i to j lead to chain b.
func leading(r *plan.Ruleset, i, j int) *plan.Ruleset {
	c := edited(r, slices.Clone[[]plan.Tuple])
	s := &c.Sets[1]
	s.Elements = slices.Clone(s.Elements)
	for k := i; k < j; k++ {
		if len(s.Tuples) > 0 {
			s.Tuples[k].Goto = "b"
		} else {
			s.Elements[k].Goto = "b"
		}
	}
	return c
}

// TestAnEditSendsWhatDiffers counts messages and bytes of edits of a map of 10,000 elements, and of
// its neighbours.
func TestAnEditSendsWhatDiffers(t *testing.T) {
	n := newNetns(t)
	r := layer(10_000)
	live := n.apply(r)
	for _, c := range []struct {
		name            string
		want            *plan.Ruleset
		messages, bytes int
	}{
		{"one entry elsewhere", leading(r, 5000, 5001), 2, 400},
		{"one entry more", edited(r, func(l []plan.Tuple) []plan.Tuple {
			e := l[0]
			return slices.Insert(l, 0, tuple(fourFields, "b", plan.Span{From: u32(0x01000000), To: u32(0x01ffffff)},
				e.Spans(fourFields)[1], one(u8(6)), plan.AllOf(plan.TypePort)))
		}), 1, 250},
		{"one entry less", edited(r, func(l []plan.Tuple) []plan.Tuple { return slices.Delete(l, 7, 8) }), 1, 250},
		{"eight entries", leading(r, 100, 108), 2, 2200},
	} {
		changes := diff(live, c.want)
		b := newBatch(live.Generation)
		if err := newEdit(b, live, c.want, changes, nil, nil).write(); err != nil {
			t.Fatal(err)
		}
		if len(b.ops) != c.messages || len(b.b) > c.bytes {
			t.Errorf("%s: %d messages of %d bytes, want %d of at most %d", c.name, len(b.ops), len(b.b), c.messages, c.bytes)
		}
		t.Logf("%s: %d messages, %d bytes", c.name, len(b.ops), len(b.b))
		next, err := n.conn.Apply(live, c.want, changes)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if left := diff(n.read(), c.want); !left.Empty() {
			t.Errorf("%s: still to change: %+v", c.name, left)
		}
		if live, err = n.conn.Apply(next, r, diff(next, r)); err != nil {
			t.Fatalf("%s, back: %v", c.name, err)
		}
	}
}

func TestManyRemovalsRebuildAMap(t *testing.T) {
	r := layer(4000)
	live := &Live{Ruleset: *r, exists: true, handles: [][]uint64{{1}, {2}, {3, 4}}}
	for n, rebuild := range map[int]bool{1: false, 8: false, 9: true} {
		t.Run(fmt.Sprintf("%d of them", n), func(t *testing.T) {
			want := leading(r, 0, n)
			e := newEdit(newBatch(1), live, want, diff(live, want), nil, nil)
			if e.sets[0].Rebuild != rebuild || len(e.chains[2].keep) == 0 != !rebuild {
				t.Errorf("%d changed: rebuilt: %v", n, e.sets[0].Rebuild)
			}
		})
	}
}

// flood sends datagrams from 127.0.0.1 to its port 1500 until the returned function is called,
// which says how many. Their way is through the map's first element.
func (n *netns) flood() (stop func() int64) {
	n.t.Helper()
	var conn *net.UDPConn
	var err error
	done := make(chan struct{})
	n.work <- func() {
		defer close(done)
		conn, err = net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1500})
	}
	<-done
	if err != nil {
		n.t.Fatal(err)
	}
	var sent atomic.Int64
	var finished atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for !finished.Load() {
			_, err := conn.Write([]byte("x"))
			// Nobody listens: the next call may tell so without sending.
			if err == nil {
				sent.Add(1)
			} else if err.(*net.OpError).Err.(interface{ Unwrap() error }).Unwrap() != syscall.ECONNREFUSED {
				n.t.Error(err)
				return
			}
		}
	}()
	for sent.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	return func() int64 {
		finished.Store(true)
		<-ended
		_ = conn.Close()
		return sent.Load()
	}
}

var counterText = regexp.MustCompile(`counter (\w+) \{\s+packets (\d+)`)

// counters reads the table's counters.
func (n *netns) counters() map[string]int64 {
	n.t.Helper()
	out := map[string]int64{}
	for _, m := range counterText.FindAllStringSubmatch(n.list("counters", "table", "inet", "pbr"), -1) {
		v, err := strconv.ParseInt(m[2], 10, 64)
		if err != nil {
			n.t.Fatal(err)
		}
		out[m[1]] = v
	}
	return out
}

// TestPacketsMissNoMapThatChanges sends as fast as it can while the map is edited and recreated:
// each packet is counted where the map led it before or after, none is missed, and neither counters
// nor remembered clients are lost.
func TestPacketsMissNoMapThatChanges(t *testing.T) {
	for name, ruleset := range map[string]func(int) *plan.Ruleset{"intervals": layer, "exact": exactly, "addresses": addresses} {
		t.Run(name, func(t *testing.T) { missNoMap(t, ruleset(2000)) })
	}
}

func missNoMap(t *testing.T, r *plan.Ruleset) {
	n := newNetns(t)
	if out, err := n.command("", "ip", "link", "set", "lo", "up"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	live := n.apply(r)
	stop := n.flood()
	commented := *r
	commented.Sets = slices.Clone(r.Sets)
	commented.Sets[1].Comment = "another shape"
	wants := []*plan.Ruleset{leading(r, 0, 1), r, leading(r, 1000, 1001), leading(r, 0, 2000), &commented, leading(r, 1, 2000), r}
	for round := range 21 {
		next, err := n.conn.Apply(live, wants[round%len(wants)], diff(live, wants[round%len(wants)]))
		if err != nil {
			t.Fatal(err)
		}
		live = next
	}
	sent := stop()
	got := n.counters()
	t.Logf("%d packets, counted %v", sent, got)
	if got["missed"] > 0 || got["a"]+got["b"] < sent || got["a"] == 0 || got["b"] == 0 {
		t.Errorf("of %d packets were counted %v", sent, got)
	}
	if out := n.list("map", "inet", "pbr", "clients"); !regexp.MustCompile(`127\.0\.0\.1 .*expires`).MatchString(out) {
		t.Errorf("the client is forgotten:\n%s", out)
	}
}

// TestWhatIsPreparedIsTakenBack lets the kernel refuse the rule that would have led to a new map
// and a new chain.
func TestWhatIsPreparedIsTakenBack(t *testing.T) {
	n := newNetns(t)
	r := layer(10)
	live := n.apply(r)
	before := n.list("ruleset")
	want := leading(r, 0, 10)
	want.Counters = append(slices.Clone(r.Counters), plan.Counter{Name: "new"})
	want.Chains = append([]plan.Chain{{Name: "fresh", Rules: []plan.ChainRule{doing(plan.Count{Counter: "new"})}}}, r.Chains...)
	want.Sets[1].Tuples[3].Goto = "fresh"
	out := &want.Chains[3]
	out.Rules = append(slices.Clone(out.Rules), doing(plan.Masquerade{}))
	if _, err := n.conn.Apply(live, want, diff(live, want)); err == nil || !strings.Contains(err.Error(), "rule 3 of chain out") {
		t.Fatalf("got %v", err)
	}
	if after := n.list("ruleset"); after != before {
		t.Errorf("a refused change changed something\n%s", firstDifference(after, before))
	}
	out.Rules = out.Rules[:2]
	n.apply(want)
	if left := diff(n.read(), want); !left.Empty() {
		t.Errorf("still to change: %+v", left)
	}
}

// TestWhatWasPreparedAndLeftIsPutRight cuts a change off between its two transactions, in either
// direction of the names.
func TestWhatWasPreparedAndLeftIsPutRight(t *testing.T) {
	n := newNetns(t)
	r := layer(10)
	for _, want := range []*plan.Ruleset{r, leading(r, 0, 10), r} {
		live := n.apply(want)
		cut := newEdit(newBatch(live.Generation), live, leading(r, 0, 9), diff(live, leading(r, 0, 9)), nil, nil)
		if err := cut.write(); err != nil {
			t.Fatal(err)
		}
		if cut.early != nil {
			if _, err := n.conn.commit(cut.early); err != nil {
				t.Fatal(err)
			}
		}
		for _, next := range []*plan.Ruleset{leading(r, 0, 9), want} {
			n.apply(next)
			if left := diff(n.read(), next); !left.Empty() {
				t.Fatalf("still to change: %+v", left)
			}
		}
	}
	if got := strings.Count(n.list("table", "inet", "pbr"), "map layer"); got != 1 {
		t.Errorf("there are %d maps", got)
	}
}
