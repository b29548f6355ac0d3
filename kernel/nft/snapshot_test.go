//go:build linux

package nft

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pbr/compiler/plan"
	"pbr/integration/steps"
)

// unshared is a copy of the ruleset in memory of its own.
func unshared(t testing.TB, l *Live) *plan.Ruleset {
	t.Helper()
	copied, err := parseSnapshot(l.Snapshot(), &plan.Ruleset{})
	if err != nil {
		t.Fatal(err)
	}
	return &copied.Ruleset
}

func TestSnapshotIsWhatWasRead(t *testing.T) {
	want, _ := wide()
	n := newNetns(t)
	n.apply(want)
	read := n.read()
	for name, base := range map[string]*plan.Ruleset{"same": want, "nothing": {}, "small": small()} {
		t.Run(name, func(t *testing.T) {
			live, ok := n.conn.Load(read.Snapshot(), base)
			if !ok {
				t.Fatalf("%s: the snapshot does not load", name)
			}
			compareRulesets(t, &live.Ruleset, want)
			compareHandles(t, live, read)
		})
	}
}

func TestSnapshotStartsAnyChange(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	n := newNetns(t)
	snapshot := n.apply(randomRuleset(rng)).Snapshot()
	for round := range 40 {
		want := randomRuleset(rng)
		live, ok := n.conn.Load(snapshot, want)
		if !ok {
			t.Fatalf("round %d: the snapshot does not load", round)
		}
		compareHandles(t, live, n.read())
		live, err := n.conn.Apply(live, want, diff(live, want))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if c := diff(n.read(), unshared(t, live)); !c.Empty() {
			t.Fatalf("round %d: the kernel differs from the snapshot: %+v", round, c)
		}
		snapshot = live.Snapshot()
	}
}

func TestSnapshotIsRefused(t *testing.T) {
	n := newNetns(t)
	want := small()
	live := n.apply(want)
	good := live.Snapshot()
	step := steps.Of(t)
	step.Run("as it was it loads", func(t *testing.T) {
		if _, ok := n.conn.Load(good, want); !ok {
			t.Fatal("a good snapshot does not load")
		}
	})
	step.Run("in another namespace it does not", func(t *testing.T) {
		if _, ok := newNetns(t).conn.Load(good, want); ok {
			t.Error("it loads in another namespace")
		}
	})
	step.Run("nor with a byte changed or missing", func(t *testing.T) {
		for i := range good {
			bad := slices.Clone(good)
			bad[i] ^= 0x10
			if _, ok := n.conn.Load(bad, want); ok {
				t.Errorf("it loads with byte %d changed", i)
			}
			if _, ok := n.conn.Load(good[:i], want); ok {
				t.Errorf("it loads cut to %d bytes", i)
			}
		}
	})
	step.Run("nor after a change", func(t *testing.T) {
		n.load("add table ip other")
		if _, ok := n.conn.Load(good, want); ok {
			t.Error("it loads after a change")
		}
	})
	step.Run("a table with foreign rules has none", func(t *testing.T) {
		n.load("add rule inet pbr r reject")
		if n.read().Snapshot() != nil {
			t.Error("a table with foreign rules has a snapshot")
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	want, _ := wide()
	l := &Live{Ruleset: *want, identity: "x", Generation: 1}
	for _, ch := range want.Chains {
		l.handles = append(l.handles, make([]uint64, len(ch.Rules)))
	}
	f.Add(l.Snapshot()[len(snapshotMagic)+4:])
	f.Fuzz(func(t *testing.T, rest []byte) {
		live, err := parseSnapshot(sealed(rest), want)
		if err == nil && len(live.handles) != len(live.Ruleset.Chains) {
			t.Error("handles and chains differ in number")
		}
	})
}
