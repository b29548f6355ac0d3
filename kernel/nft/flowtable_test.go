//go:build linux

package nft

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/integration/lab"
)

var flowtableCases = []plan.Flowtable{
	{Name: "flows"},
	{Name: "flows", Counter: true, Devices: []string{"br-lan", "eth0.5", "wan1"}},
	{Name: "flows", Priority: -7, Hardware: true, Devices: []string{"eth0"}},
}

func TestFlowtableDecodeIsTheOppositeOfEncode(t *testing.T) {
	t.Run("what is encoded", func(t *testing.T) {
		for _, f := range flowtableCases {
			var w writer
			flowtableAttrs(&w, plan.TableName, &f, f.Devices)
			if got := decodeFlowtable(w.b); !reflect.DeepEqual(got, f) {
				t.Errorf("got %+v, want %+v", got, f)
			}
		}
	})
	t.Run("a flag that nobody knows is foreign", func(t *testing.T) {
		var w writer
		w.str(flowtableName, "flows")
		w.u32(flowtableFlags, 0x82)
		if got, want := decodeFlowtable(w.b),
			(plan.Flowtable{Name: "flows", Counter: true, Foreign: "flags 0x80"}); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// offloadRule leads to a flowtable.
func offloadRule(flowtable string) plan.ChainRule {
	return plan.ChainRule{
		Matches: []plan.Match{not(masked(plan.FieldCTState, 2, 0)), is(plan.FieldL4Proto, u8(6))},
		Actions: []plan.Action{plan.SetMark{Mask: testMask}, plan.Offload{Flowtable: flowtable}},
		Comment: "offload",
	}
}

func TestOffloadRuleDecodeIsTheOppositeOfEncode(t *testing.T) {
	e, want := wideEncoder(), offloadRule("flows")
	var w writer
	if err := e.ruleAttrs(&w, &want); err != nil {
		t.Fatal(err)
	}
	if got := e.decodeRule(attr(w.b, unix.NFTA_RULE_EXPRESSIONS), attr(w.b, unix.NFTA_RULE_USERDATA)); !got.Equal(&want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFlowtablesInSnapshots(t *testing.T) {
	want := &plan.Ruleset{Flowtables: []plan.Flowtable{flowtableCases[1], {Name: "other", Hardware: true, Priority: -1}}}
	live := &Live{identity: "here", exists: true, Ruleset: *want}
	t.Run("it is read as it was written", func(t *testing.T) {
		got, err := parseSnapshot(live.Snapshot(), &plan.Ruleset{})
		if err != nil || !reflect.DeepEqual(got.Ruleset.Flowtables, want.Flowtables) {
			t.Errorf("%v, got %+v, want %+v", err, got.Ruleset.Flowtables, want.Flowtables)
		}
	})
	t.Run("a foreign one has none", func(t *testing.T) {
		live.Ruleset.Flowtables = []plan.Flowtable{{Name: "flows", Foreign: "flags 0x80"}}
		if live.Snapshot() != nil {
			t.Error("a foreign flowtable is in a snapshot, which has no word for it")
		}
	})
}

// TestProbeOffload asks nft whether what the probe says is so, and looks for what it may have left.
func TestProbeOffload(t *testing.T) {
	n, other := newNetns(t), newNetns(t)
	n.load("table inet other { }")
	events := n.monitor()
	before, err := n.conn.Generation()
	if err != nil {
		t.Fatal(err)
	}
	got, err := n.conn.ProbeOffload([]string{"lo", "not-there"})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("the probe and nft agree on flowtables", func(t *testing.T) {
		_, err = other.command("table inet f {\nflowtable x { hook ingress priority 0; }\nchain c { flow add @x; }\n}", "nft", "-f", "-")
		if got.Flowtables != (err == nil) {
			t.Errorf("the probe says %v, nft says %v", got.Flowtables, err)
		}
	})
	t.Run("what is no hardware cannot offload", func(t *testing.T) {
		if want := map[string]bool{"lo": false, "not-there": false}; !reflect.DeepEqual(got.Hardware, want) {
			t.Errorf("hardware %v, want %v", got.Hardware, want)
		}
	})
	t.Run("it makes no generation", func(t *testing.T) {
		after, err := n.conn.Generation()
		if err != nil || after != before {
			t.Errorf("generation %d became %d (%v)", before, after, err)
		}
	})
	t.Run("it leaves nothing", func(t *testing.T) {
		if tables := n.list("tables"); strings.Contains(tables, probeTable) {
			t.Errorf("left behind: %s", tables)
		}
	})
	t.Run("nobody hears of it", func(t *testing.T) {
		n.load("add table ip sentinel")
		if got := <-events; !strings.Contains(got, "sentinel") {
			t.Errorf("nft monitor saw %q", got)
		}
	})
}

// links adds cables v0-v1, v2-v3 and so on.
func (n *netns) links(count int) {
	n.t.Helper()
	for i := 0; i < count; i += 2 {
		n.cable(i)
	}
}

func (n *netns) cable(i int) {
	n.t.Helper()
	if out, err := n.command("", "ip", "link", "add", fmt.Sprint("v", i), "type", "veth", "peer", "name",
		fmt.Sprint("v", i+1)); err != nil {
		n.t.Fatalf("%v: %s", err, out)
	}
}

// offloading is small with a flowtable and a chain that leads to it.
func offloading(f plan.Flowtable) *plan.Ruleset {
	r := small()
	r.Flowtables = []plan.Flowtable{f}
	r.Chains = append(r.Chains, plan.Chain{Name: "fw", Kind: "filter", Hook: "forward", Priority: 200,
		Rules: []plan.ChainRule{offloadRule(f.Name)}})
	return r
}

func TestVMFlowtableListsAsText(t *testing.T) {
	lab.NeedKernel(t, "nf_flow_table")
	text, ours := newNetns(t), newNetns(t)
	text.links(4)
	ours.links(4)
	text.load(`table inet pbr {
	flowtable flows { hook ingress priority filter; devices = { "v0", "v3" }; counter; }
	chain fw { type filter hook forward priority 200
		ct state established meta l4proto tcp meta mark set meta mark and 0x00ffffff flow add @flows comment "offload"
	}
}`)
	want := offloading(plan.Flowtable{Name: "flows", Counter: true, Devices: []string{"v0", "v3"}})
	want.Counters, want.Sets, want.Chains = nil, nil, want.Chains[len(want.Chains)-1:]
	if read := text.read(); !diff(read, want).Empty() {
		t.Errorf("the text read back differs: %+v", diff(read, want))
	}
	ours.apply(want)
	if got, want := ours.list("table", "inet", "pbr"), text.list("table", "inet", "pbr"); got != want {
		t.Errorf("listing of what was applied differs from that of the same text\n%s", firstDifference(got, want))
	}
}

// TestVMAnyFlowtableToAnyOther goes from one flowtable to another, of other devices, flags and
// name, in one transaction each.
func TestVMAnyFlowtableToAnyOther(t *testing.T) {
	lab.NeedKernel(t, "nf_flow_table")
	n := newNetns(t)
	n.links(6)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 4))
	live := n.apply(small())
	for round := range 40 {
		want := small()
		if rng.IntN(6) > 0 {
			f := plan.Flowtable{Name: []string{"flows", "flows", "flows", "other"}[rng.IntN(4)],
				Counter: rng.IntN(4) > 0, Priority: int32(rng.IntN(4) / 3)}
			for i := range 6 {
				if rng.IntN(2) == 0 {
					f.Devices = append(f.Devices, fmt.Sprint("v", i))
				}
			}
			want = offloading(f)
		}
		was := fmt.Sprintf("%+v", live.Ruleset.Flowtables)
		next, err := n.conn.Apply(live, want, diff(live, want))
		if err != nil {
			t.Fatalf("round %d: from %s to %+v: %v", round, was, want.Flowtables, err)
		}
		live = next
		read := n.read()
		if c := diff(read, want); !c.Empty() {
			t.Fatalf("round %d: from %s to %+v: still to change: %+v", round, was, want.Flowtables, c)
		}
		compareHandles(t, live, read)
	}
}

// TestVMFlowtableLosesItsDevice deletes a device: the kernel takes it out without a word, and
// Refresh sees it.
func TestVMFlowtableLosesItsDevice(t *testing.T) {
	lab.NeedKernel(t, "nf_flow_table")
	n := newNetns(t)
	n.links(4)
	want := offloading(plan.Flowtable{Name: "flows", Counter: true, Devices: []string{"v0", "v2"}})
	live := n.apply(want)
	if out, err := n.command("", "ip", "link", "del", "v0"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	loaded, ok := n.conn.Load(live.Snapshot(), want)
	if !ok {
		t.Fatal("the snapshot does not load: is there a new generation?")
	}
	refreshed, err := n.conn.Refresh(loaded)
	if err != nil {
		t.Fatal(err)
	}
	gone := !slices.Contains(refreshed.Ruleset.Flowtables[0].Devices, "v0")
	if c := diff(n.read(), &refreshed.Ruleset); !c.Empty() {
		t.Errorf("Refresh differs from what is read: %+v", c)
	}
	n.cable(0)
	if _, err := n.conn.Apply(refreshed, want, diff(refreshed, want)); err != nil {
		t.Fatalf("putting the device back (it was gone: %v): %v", gone, err)
	}
	if c := diff(n.read(), want); !c.Empty() {
		t.Errorf("still to change: %+v", c)
	}
	absent := offloading(plan.Flowtable{Name: "flows", Counter: true, Devices: []string{"v0", "v2", "v9"}})
	live = n.read()
	if _, err := n.conn.Apply(live, absent, diff(live, absent)); err == nil || !strings.Contains(err.Error(), "flowtable flows") {
		t.Errorf("an interface that is not there: %v", err)
	}
}
