//go:build linux

package nft

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/integration/lab"
)

// queues are the ways to hand a packet to a program.
var queues = []plan.Action{plan.Queue{Number: 112}, plan.QueueTarget{Number: 112}, plan.LogGroup{Group: 112}}

func TestProbeActions(t *testing.T) {
	n := newNetns(t)
	before, err := n.conn.Generation()
	if err != nil {
		t.Fatal(err)
	}
	refused, err := n.conn.ProbeActions(queues)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("the probe and nft agree on queues", func(t *testing.T) {
		_, native := n.command("table inet f {\nchain c { queue flags bypass to 112; }\n}", "nft", "-c", "-f", "-")
		if (refused[0] == nil) != (native == nil) || refused[0] != nil && refused[0] != unix.ENOENT {
			t.Errorf("queue: the probe says %v, nft says %v", refused[0], native)
		}
	})
	t.Run("the target and the log group are there", func(t *testing.T) {
		if refused[1] != nil || refused[2] != nil {
			t.Errorf("the target and the log group are refused: %v", refused[1:])
		}
	})
	t.Run("it makes no generation", func(t *testing.T) {
		if after, err := n.conn.Generation(); err != nil || after != before {
			t.Errorf("generation %d became %d (%v)", before, after, err)
		}
	})
	t.Run("it leaves nothing", func(t *testing.T) {
		if tables := n.list("tables"); strings.Contains(tables, probeTable) {
			t.Errorf("left behind: %s", tables)
		}
	})
}

// readBack applies rules and compares them with what is read.
func readBack(t *testing.T, actions ...plan.Action) *netns {
	t.Helper()
	n := newNetns(t)
	var rules []plan.ChainRule
	for _, a := range actions {
		rules = append(rules, plan.ChainRule{Matches: []plan.Match{is(plan.FieldL4Proto, u8(17)),
			is(plan.FieldCTOrigDPort, u16(53))}, Actions: []plan.Action{a}, Comment: "x"})
	}
	want := &plan.Ruleset{Chains: []plan.Chain{{Name: "c", Kind: "filter", Hook: "forward", Priority: 220, Rules: rules}}}
	live, err := n.conn.Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = n.conn.Apply(live, want, plan.Diff(&plan.Plan{}, &plan.Plan{Ruleset: *want})); err != nil {
		t.Fatal(err)
	}
	got, err := n.conn.Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	if c := plan.Diff(&plan.Plan{Ruleset: got.Ruleset}, &plan.Plan{Ruleset: *want}); !c.Empty() {
		t.Errorf("read back otherwise: %+v", got.Ruleset.Chains)
	}
	return n
}

// nft lists the target as if it were the expression.
func TestQueueReadsBack(t *testing.T) {
	n := readBack(t, queues[1:]...)
	if text := n.list("chain", "inet", "pbr", "c"); !strings.Contains(text, "queue") ||
		!strings.Contains(text, "log group 112 queue-threshold 1") {
		t.Error(text)
	}
}

func TestVMQueueReadsBack(t *testing.T) {
	lab.NeedKernel(t, "nft_queue")
	n := readBack(t, queues[0], queues[2])
	t.Run("nft lists what was written", func(t *testing.T) {
		text := n.list("chain", "inet", "pbr", "c")
		if strings.Count(text, "queue flags bypass to 112") < 1 {
			t.Error(text)
		}
	})
	t.Run("what nft writes is read as ours", func(t *testing.T) {
		other := newNetns(t)
		other.load("table inet pbr {\nchain c { type filter hook forward priority 220; policy accept; " +
			"meta l4proto udp ct original proto-dst 53 queue flags bypass to 112 comment \"x\"; }\n}")
		got, err := other.conn.Read(nil)
		if err != nil {
			t.Fatal(err)
		}
		if r := got.Ruleset.Chains[0].Rules[0]; r.Foreign != "" || r.Actions[0] != queues[0] {
			t.Errorf("nft's own rule is read as %+v", r)
		}
	})
}
