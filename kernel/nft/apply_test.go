//go:build linux

package nft

import (
	"bufio"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/integration/steps"
)

// small is a table of a few objects that refer to each other.
func small() *plan.Ruleset {
	return &plan.Ruleset{
		Counters: []plan.Counter{{Name: "c", Comment: "policy web"}},
		Sets: []plan.Set{{Name: "s", Type: plan.TypeIPv4, Interval: true,
			Elements: []plan.Element{span(addr("10.0.0.0"), addr("10.0.0.255"))}}},
		Chains: []plan.Chain{
			{Name: "mark", Rules: []plan.ChainRule{accepted()}},
			{Name: "r", Rules: []plan.ChainRule{
				{Matches: []plan.Match{in(plan.FieldIPSAddr, "s")}, Actions: []plan.Action{plan.Count{Counter: "c"},
					plan.Goto{Chain: "mark"}}, Comment: "policy web"},
				accepted(is(plan.FieldIIFName, str("a"))),
			}},
			{Name: "pre", Kind: "filter", Hook: "prerouting", Priority: -150, Rules: []plan.ChainRule{doing(plan.Goto{Chain: "r"})}},
		},
	}
}

func TestApplyWithoutChangesSendsNothing(t *testing.T) {
	n := newNetns(t)
	want := small()
	n.apply(want)
	events := n.monitor()
	before := n.read()
	n.apply(want)
	if after := n.read(); after.Generation != before.Generation {
		t.Errorf("generation %d became %d", before.Generation, after.Generation)
	}
	n.load("add table ip sentinel")
	if got := <-events; !strings.Contains(got, "sentinel") {
		t.Errorf("nft monitor saw %q", got)
	}
}

// monitor starts nft monitor and returns its lines from now on.
func (n *netns) monitor() <-chan string {
	n.t.Helper()
	cmd := exec.Command("stdbuf", "-oL", "nft", "monitor")
	out, err := cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	started := make(chan error)
	n.work <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := make(chan string, 1000)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	// It listens when it shows a change made meanwhile; each attempt is another change.
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		n.load("add table ip ready\ndelete table ip ready")
		select {
		case <-lines:
			n.load("add table ip last")
			for line := range lines {
				if strings.Contains(line, "last") {
					for strings.HasPrefix(line, "add table") {
						line = <-lines // the line with the generation
					}
					return lines
				}
			}
		case <-time.After(20 * time.Millisecond):
		}
	}
	n.t.Fatal("nft monitor shows nothing")
	return nil
}

func TestStaleStateIsRefused(t *testing.T) {
	n := newNetns(t)
	live := n.apply(small())
	n.load("add table ip other")
	want := small()
	want.Counters = append(want.Counters, plan.Counter{Name: "d"})
	before := n.list("ruleset")
	if _, err := n.conn.Apply(live, want, diff(live, want)); !errors.Is(err, ErrChanged) {
		t.Fatalf("got %v, want ErrChanged", err)
	}
	if after := n.list("ruleset"); after != before {
		t.Errorf("a refused change changed something\n%s", firstDifference(after, before))
	}
	n.apply(want)
}

func TestRefusedTransactionChangesNothingAndNamesTheObject(t *testing.T) {
	n := newNetns(t)
	n.apply(small())
	before, live := n.list("ruleset"), n.read()
	for _, c := range []struct {
		name string
		edit func(r *plan.Ruleset)
		want string
	}{
		{"rule", func(r *plan.Ruleset) {
			r.Chains[1].Rules = append(r.Chains[1].Rules,
				plan.ChainRule{Actions: []plan.Action{plan.Jump{Chain: "gone"}}, Comment: "policy voip"})
		}, "adding rule 3 of chain r (policy voip): no such file or directory"},
		{"hook", func(r *plan.Ruleset) { r.Chains[2].Hook = "sideways" }, `adding chain pre: hook "sideways" is unknown`},
		{"elements", func(r *plan.Ruleset) {
			r.Sets[0].Elements = []plan.Element{span(addr("10.0.0.0"), addr("10.0.0.9")), span(addr("10.0.0.5"), addr("10.0.0.20"))}
		}, "adding elements to set s: file exists"},
		{"masquerade", func(r *plan.Ruleset) {
			r.Chains[1].Rules = append(r.Chains[1].Rules, doing(plan.Masquerade{}))
		}, "adding rule 3 of chain r: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := small()
			want.Counters = append(want.Counters, plan.Counter{Name: "d"})
			c.edit(want)
			_, err := n.conn.Apply(live, want, diff(live, want))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
			if after := n.list("ruleset"); after != before {
				t.Errorf("changed\n%s", firstDifference(after, before))
			}
		})
	}
}

func TestUnprivilegedErrorIsPlain(t *testing.T) {
	b := newBatch(1)
	b.deleteNamed(unix.NFT_MSG_DELSET, "set", unix.NFTA_SET_NAME, "s", true)
	body := append([]byte{0xff, 0xff, 0xff, 0xff}, make([]byte, 16)...)
	err := b.explain(&message{seq: 1, body: body})
	if !errors.Is(err, unix.EPERM) || !strings.HasPrefix(err.Error(), "deleting set s: ") ||
		!strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("got %v", err)
	}
}

// foreignEdits are made by hand to the small table; each has to show and to be repaired.
var foreignEdits = []struct{ name, script, shows string }{
	{"rule", "add rule inet pbr r counter reject", "reject"},
	{"rule with comment", `insert rule inet pbr r ip ttl 5 counter accept comment "mine"`, `comment "mine"`},
	{"rule with anonymous set", "add rule inet pbr r ip saddr { 1.1.1.1, 2.2.2.2 } accept", "0x01010101"},
	{"rule of ours, twice", `insert rule inet pbr r iifname "a" accept`, ""},
	{"rule deleted", "flush chain inet pbr r", ""},
	{"elements", "add element inet pbr s { 10.1.0.0/16 }\ndelete element inet pbr s { 10.0.0.0/24 }", ""},
	{"element comment", `add element inet pbr s { 10.1.0.1 comment "x" }`, "userdata"},
	{"set", "add set inet pbr other { type ipv4_addr; flags timeout; timeout 1h; elements = { 1.1.1.1 } }", "timeout"},
	{"concatenation", "add set inet pbr other { type ipv4_addr . inet_service; flags interval; elements = { 1.1.1.1 . 1-5 } }", ""},
	{"concatenation of a strange type", "add set inet pbr other { type ipv4_addr . tcp_flag; elements = { 1.1.1.1 . syn } }", "type"},
	{"concatenation with timeout", "add set inet pbr other { type ipv4_addr . inet_service; flags interval,timeout; }", "flags"},
	{"comment of a concatenated element",
		`add set inet pbr other { type ipv4_addr . inet_service; elements = { 1.1.1.1 . 5 comment "x" } }`, "userdata"},
	{"data map", "add map inet pbr other { type ipv4_addr : mark; elements = { 1.1.1.1 : 5 } }", "data type"},
	{"chain", "add chain inet pbr other { type filter hook input priority 0; policy drop; }\nadd rule inet " +
		"pbr other accept", "policy drop"},
	{"policy", "add chain inet pbr pre { policy drop; }", "policy drop"},
	{"counter", "add counter inet pbr other", ""},
	{"quota used by a rule", "add quota inet pbr q over 25 mbytes\nadd rule inet pbr r quota name q drop", "quota q"},
	{"dormant table", "add table inet pbr { flags dormant; }", "table flags"},
	{"another table", `table inet pbr { }
		delete table inet pbr
		table inet pbr { comment "not ours"
			set s { type ipv6_addr; }
			counter c { comment "other" }
			chain r { type filter hook forward priority 0; }
			chain x { ip6 saddr @s counter name c accept; }
			chain y { jump x; }
		}`, "table userdata"},
}

func TestForeignEditsShowAndArePutRight(t *testing.T) {
	for _, c := range foreignEdits {
		t.Run(c.name, func(t *testing.T) {
			n := newNetns(t)
			want := small()
			n.apply(want)
			clean := n.list("ruleset")
			n.load(c.script)
			live := n.read()
			if again := n.read(); !diff(live, &again.Ruleset).Empty() && len(live.Ruleset.Foreign) == 0 {
				t.Error("two reads of the same differ")
			}
			if diff(live, want).Empty() {
				t.Fatal("the edit does not show")
			}
			if got := foreignWords(live); !strings.Contains(got, c.shows) {
				t.Errorf("%q shows nothing of %q", got, c.shows)
			}
			n.apply(want)
			if got := n.list("ruleset"); blocks(got) != blocks(clean) {
				t.Errorf("not put right\n%s", firstDifference(blocks(got), blocks(clean)))
			}
		})
	}
}

// foreignWords is everything that Live says about what pbr does not make.
func foreignWords(l *Live) string {
	words := slices.Clone(l.Ruleset.Foreign)
	for _, s := range l.Ruleset.Sets {
		words = append(words, s.Foreign)
	}
	for _, ch := range l.Ruleset.Chains {
		words = append(words, ch.Foreign)
		for _, r := range ch.Rules {
			words = append(words, r.Foreign)
		}
	}
	return strings.Join(words, "\n")
}

func TestOtherTablesStay(t *testing.T) {
	n := newNetns(t)
	n.load(`table ip nat { chain post { type nat hook postrouting priority srcnat; masquerade
		}
		}
		table inet filter { counter c { }
		set s { type ipv4_addr; flags dynamic,timeout; timeout 1h; }
		chain pbr { iifname "a" counter accept
		}
		}
		table ip pbr { chain r { accept
		}
		}`)
	others := n.list("ruleset")
	n.apply(small())
	want := small()
	want.Chains[1].Rules = want.Chains[1].Rules[1:]
	n.apply(want)
	n.apply(&plan.Ruleset{})
	if got := n.list("ruleset"); got != others {
		t.Errorf("other tables changed\n%s", firstDifference(got, others))
	}
	n.apply(small())
	for range 2 {
		if err := n.conn.Delete(); err != nil {
			t.Fatal(err)
		}
	}
	if got := n.list("ruleset"); got != others {
		t.Errorf("other tables changed\n%s", firstDifference(got, others))
	}
}

func TestCountersKeepTheirValues(t *testing.T) {
	n := newNetns(t)
	n.load(`table inet pbr { counter c { comment "policy web"
		packets 5 bytes 500
		}
		}`)
	want := small()
	n.apply(want)
	want.Chains[1].Rules = append([]plan.ChainRule{accepted(is(plan.FieldIIFName, str("b")))}, want.Chains[1].Rules...)
	want.Sets[0].Comment = "rebuilt, and with it the rule that counts"
	n.apply(want)
	if got := n.list("counters"); !strings.Contains(got, "packets 5 bytes 500") {
		t.Errorf("the counter lost its value:\n%s", got)
	}
}

func TestEmptyTable(t *testing.T) {
	n := newNetns(t)
	step := steps.Of(t)
	step.Run("no table is none", func(t *testing.T) {
		if live := n.read(); !diff(live, &plan.Ruleset{}).Empty() {
			t.Errorf("no table: %+v", live)
		}
	})
	step.Run("an empty table goes when nothing is wanted", func(t *testing.T) {
		n.load("add table inet pbr")
		live := n.apply(&plan.Ruleset{})
		if got := n.list("ruleset"); got != "" || live.exists {
			t.Errorf("the empty table stays: %q", got)
		}
	})
	step.Run("an empty table is filled", func(t *testing.T) {
		n.load("add table inet pbr")
		n.apply(small())
		if live := n.read(); !diff(live, small()).Empty() {
			t.Errorf("differs: %+v", live)
		}
	})
}
