package route

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/integration/steps"
)

const base = 10000

// ruleCases pair every selector and action with ip-rule(8)'s words for it; ADDR and NET stand for
// an address and a network of the family. listed is what ip rule show prints, when that differs.
var ruleCases = []struct {
	words, listed string
	rule          plan.Rule
}{
	{"lookup 112018", "from all lookup 112018", plan.Rule{Table: 112018}},
	{"from NET lookup 100", "", plan.Rule{Src: netip.MustParsePrefix("10.0.0.0/8"), Table: 100}},
	{"from ADDR lookup 100", "", plan.Rule{Src: netip.MustParsePrefix("10.0.0.1/32"), Table: 100}},
	{"to NET lookup 100", "from all to NET lookup 100", plan.Rule{Dst: netip.MustParsePrefix("10.0.0.0/8"), Table: 100}},
	{"fwmark 0x12000000/0xff000000 lookup 100", "from all fwmark 0x12000000/0xff000000 lookup 100",
		plan.Rule{Mark: 0x12000000, MarkMask: 0xff000000, Table: 100}},
	{"fwmark 0/0xff000000 lookup 100", "from all fwmark 0/0xff000000 lookup 100", plan.Rule{MarkMask: 0xff000000, Table: 100}},
	{"iif w1 lookup 100", "from all iif w1 lookup 100", plan.Rule{IIF: "w1", Table: 100}},
	{"iif lo lookup 100", "from all iif lo lookup 100", plan.Rule{IIF: "lo", Table: 100}},
	{"iif absent0 lookup 100", "from all iif absent0 [detached] lookup 100", plan.Rule{IIF: "absent0", Table: 100}},
	{"oif w2 lookup 100", "from all oif w2 lookup 100", plan.Rule{OIF: "w2", Table: 100}},
	{"tos 0x10 lookup 100", "from all tos 0x10 lookup 100", plan.Rule{TOS: 0x10, Table: 100}},
	{"ipproto udp lookup 100", "from all ipproto udp lookup 100", plan.Rule{Proto: 17, Table: 100}},
	{"ipproto tcp sport 20-22 dport 443 lookup 100", "from all ipproto tcp sport 20-22 dport 443 lookup 100",
		plan.Rule{Proto: 6, SPort: plan.PortRange{From: 20, To: 22}, DPort: plan.PortRange{From: 443, To: 443}, Table: 100}},
	{"uidrange 0-0 lookup 100", "from all uidrange 0-0 lookup 100", plan.Rule{HasUID: true, Table: 100}},
	{"uidrange 1000-2000 lookup 100", "from all uidrange 1000-2000 lookup 100",
		plan.Rule{HasUID: true, UID: plan.UIDRange{From: 1000, To: 2000}, Table: 100}},
	{"not from NET lookup 100", "", plan.Rule{Invert: true, Src: netip.MustParsePrefix("10.0.0.0/8"), Table: 100}},
	{"lookup main suppress_prefixlength 0", "from all lookup main suppress_prefixlength 0", plan.Rule{Table: 254, SuppressPrefix: 1}},
	{"goto 32766", "from all goto 32766", plan.Rule{Action: plan.ActGoto, Goto: 32766}},
	{"goto 20000", "from all goto 20000 [unresolved]", plan.Rule{Action: plan.ActGoto, Goto: 20000}},
	{"from ADDR unreachable", "", plan.Rule{Src: netip.MustParsePrefix("10.0.0.1/32"), Action: plan.ActUnreachable}},
	{"prohibit", "from all prohibit", plan.Rule{Action: plan.ActProhibit}},
	{"blackhole", "from all blackhole", plan.Rule{Action: plan.ActBlackhole}},
	{"nop", "from all nop", plan.Rule{Action: plan.ActNop}},
}

// inFamily gives a case's words and rule their family.
func inFamily(words string, r plan.Rule, f plan.Family) (string, plan.Rule) {
	to6 := map[string]string{"10.0.0.0/8": "2001:db8::/32", "10.0.0.1/32": "2001:db8::1/128"}
	net, addr := "10.0.0.0/8", "10.0.0.1"
	if f == plan.IPv6 {
		net, addr = "2001:db8::/32", "2001:db8::1"
		if r.Src.IsValid() {
			r.Src = netip.MustParsePrefix(to6[r.Src.String()])
		}
		if r.Dst.IsValid() {
			r.Dst = netip.MustParsePrefix(to6[r.Dst.String()])
		}
	}
	r.Family, r.Priority, r.Protocol = f, base+10, plan.Protocol
	if r.Action == 0 {
		r.Action = plan.ActLookup
	}
	return strings.NewReplacer("NET", net, "ADDR", addr).Replace(words), r
}

func TestRuleWrittenAndRead(t *testing.T) {
	c := newNetns(t)
	here := steps.InNamespace(t)
	for _, f := range plan.Families {
		for _, tc := range ruleCases {
			here.Run(fmt.Sprintf("IPv%d %s", f, tc.words), func(t *testing.T) {
				words, rule := inFamily(tc.words, tc.rule, f)
				listed, _ := inFamily(tc.listed, tc.rule, f)
				if listed == "" {
					listed = words
				}
				must(t, c.AddRule(rule))
				if got := lines(ip(t, fmt.Sprintf("-%d rule show priority %d", f, base+10))); len(got) != 1 ||
					got[0] != fmt.Sprintf("%d: %s proto 112", base+10, listed) {
					t.Errorf("%s: ip lists %q, not %q", describeRule(rule), got, listed)
				}
				if err := c.AddRule(rule); err == nil || !strings.HasPrefix(err.Error(), "adding "+describeRule(rule)+": file exists") {
					t.Errorf("a second time: %v", err)
				}
				must(t, c.DelRule(rule))
				must(t, c.DelRule(rule)) // absent: success
				ip(t, fmt.Sprintf("-%d rule add priority %d %s protocol 112", f, base+10, words))
				rules, _, err := c.Read([]uint32{base}, nil)
				must(t, err)
				if !slices.Equal(rules, []plan.Rule{rule}) {
					t.Errorf("ip rule add %s reads as %v, not %v", words, rules, rule)
				}
				must(t, c.DelRules(rules))
			})
		}
	}
}

func TestDSCPRule(t *testing.T) {
	c := newNetns(t)
	if has, err := KernelAtLeast(6, 13); err != nil || !has {
		t.Skipf("rules by DSCP need Linux 6.13: %v", err)
	}
	var want []plan.Rule
	for i, f := range plan.Families {
		for _, dscp := range []uint8{0, 46, 63} {
			want = append(want, plan.Rule{Family: f, Priority: uint32(base + i), DSCP: dscp + 1, Action: plan.ActLookup,
				Table: 100, Protocol: plan.Protocol})
			must(t, c.AddRule(want[len(want)-1]))
		}
	}
	rules, _, err := c.Read([]uint32{base}, nil)
	must(t, err)
	if !slices.Equal(rules, want) {
		t.Errorf("got %v, want %v", rules, want)
	}
	must(t, c.DelRules([]plan.Rule{want[1], want[4]}))
	rules, _, err = c.Read([]uint32{base}, nil)
	must(t, err)
	if left := slices.Concat(want[:1], want[2:4], want[5:]); !slices.Equal(rules, left) {
		t.Errorf("left is %v, not %v", rules, left)
	}
}

// TestForeignRuleAttributes checks that rules with what pbr never sets look like no rule of pbr's,
// and can go.
func TestForeignRuleAttributes(t *testing.T) {
	c := newNetns(t)
	here := steps.InNamespace(t)
	for words, foreign := range map[string]string{
		"-4 rule add priority 10010 lookup 100 suppress_ifgroup 7 protocol 112": "suppress_ifgroup 7",
		"-4 rule add priority 10011 lookup 100 realms 3/5 protocol 112":         "realms 3/5",
		"-4 rule add priority 10012 lookup 100 tun_id 9 protocol 112":           "tun_id 0x0000000000000009",
		"-6 rule add priority 10013 lookup 100 tun_id 9":                        "tun_id 0x0000000000000009",
	} {
		here.Run(words, func(t *testing.T) {
			ip(t, words)
			rules, _, err := c.Read([]uint32{base}, nil)
			must(t, err)
			if len(rules) != 1 || rules[0].Foreign != foreign {
				t.Errorf("%s reads as %v, wanted foreign %q", words, rules, foreign)
			}
			if err := c.AddRule(rules[0]); err == nil || !strings.Contains(err.Error(), foreign) {
				t.Errorf("made what is foreign: %v", err)
			}
			must(t, c.DelRules(rules))
			if rules, _, err = c.Read([]uint32{base}, nil); err != nil || len(rules) != 0 {
				t.Errorf("%s: still there: %v %v", words, rules, err)
			}
		})
	}
}

// TestGotoTakesNoStateAlong deletes a goto beside one that differs in its target alone and has
// none: it is taken out and put back meanwhile, and resolved when its target comes.
func TestGotoTakesNoStateAlong(t *testing.T) {
	c := newNetns(t)
	for _, words := range []string{"-4 rule add priority 10010 fwmark 0/0x1 goto 10020 protocol 112",
		"-4 rule add priority 10010 fwmark 0/0x1 goto 10090"} {
		ip(t, words)
	}
	rules, _, err := c.Read([]uint32{base}, nil)
	must(t, err)
	if len(rules) != 2 || rules[0].Goto != 10020 || rules[0].Foreign != "" {
		t.Fatalf("got %v", rules)
	}
	must(t, c.DelRules(rules[1:]))
	must(t, c.AddRule(plan.Rule{Family: plan.IPv4, Priority: 10020, Action: plan.ActNop, Protocol: plan.Protocol}))
	if out := ip(t, "-4 rule show"); !strings.Contains(out, "goto 10020") || strings.Contains(out, "unresolved") {
		t.Errorf("the goto is dead:\n%s", out)
	}
}

// TestDeadGotoIsForeign makes a goto that counts as unresolved for good: it is none of the plan's,
// and can go.
func TestDeadGotoIsForeign(t *testing.T) {
	c := newNetns(t)
	want := plan.Rule{Family: plan.IPv4, Priority: 10010, Mark: 1, MarkMask: 1, Action: plan.ActGoto, Goto: 10020, Protocol: plan.Protocol}
	body, err := encodeRule(want)
	must(t, err)
	binary.NativeEndian.PutUint32(body[8:], unix.FIB_RULE_UNRESOLVED)
	must(t, c.request(unix.RTM_NEWRULE, unix.NLM_F_CREATE, body))
	must(t, c.AddRule(plan.Rule{Family: plan.IPv4, Priority: 10020, Action: plan.ActNop, Protocol: plan.Protocol}))
	rules, _, err := c.Read([]uint32{base}, nil)
	must(t, err)
	if len(rules) != 2 || rules[0].Foreign != unresolved {
		t.Fatalf("got %v", rules)
	}
	must(t, c.DelRule(rules[0]))
	must(t, c.AddRule(want))
	if rules, _, err = c.Read([]uint32{base}, nil); err != nil || len(rules) != 2 || rules[0] != want {
		t.Errorf("got %v %v, want %v first", rules, err, want)
	}
}

// TestReadRulesOwnership reads ours by protocol or priority, and nothing else.
func TestReadRulesOwnership(t *testing.T) {
	c := newNetns(t)
	for _, r := range []string{
		"priority 9999 lookup 100", "priority 10000 lookup 100", "priority 10999 lookup 100", "priority 11000 lookup 100",
		"priority 5 lookup 100 protocol 112", "priority 0 from 10.0.0.1 lookup 100 protocol 112",
	} {
		ip(t, "rule add "+r)
	}
	rules, _, err := c.Read([]uint32{base}, nil)
	must(t, err)
	var got []string
	for _, r := range rules {
		got = append(got, fmt.Sprintf("%d/%d", r.Priority, r.Protocol))
	}
	if want := []string{"0/112", "5/112", "10000/0", "10999/0"}; !slices.Equal(got, want) {
		t.Errorf("read %v, not %v", got, want)
	}
	before := ip(t, "rule show")
	for _, r := range rules {
		must(t, c.DelRule(r))
	}
	if got, want := lines(ip(t, "rule show")), []string{"0: from all lookup local", "9999: from all lookup 100",
		"11000: from all lookup 100", "32766: from all lookup main", "32767: from all lookup default"}; !slices.Equal(got, want) {
		t.Errorf("left is %q, was %q", got, before)
	}
}

// TestDelRuleTakesNoOther deletes wide rules behind narrow ones of the same priority, the one that
// the kernel would take first.
func TestDelRuleTakesNoOther(t *testing.T) {
	for _, f := range plan.Families {
		t.Run(fmt.Sprint(f), func(t *testing.T) {
			c := newNetns(t)
			_, narrow := inFamily("", plan.Rule{Src: netip.MustParsePrefix("10.0.0.0/8"), Mark: 1, MarkMask: 1, Table: 100}, f)
			_, wide := inFamily("", plan.Rule{Table: 100}, f)
			_, middle := inFamily("", plan.Rule{Mark: 1, MarkMask: 1, Table: 100}, f)
			foreign := wide
			foreign.Table, foreign.Protocol = 101, 3
			for _, r := range []plan.Rule{foreign, narrow, middle, wide} {
				must(t, c.AddRule(r))
			}
			before := ip(t, fmt.Sprintf("-%d rule show table 101", f))
			must(t, c.DelRule(wide))
			rules, _, err := c.Read([]uint32{base}, nil)
			must(t, err)
			want := []plan.Rule{narrow, middle, foreign}
			slices.SortFunc(want, plan.CompareRules)
			if !slices.Equal(rules, want) {
				t.Errorf("left is %v, not %v", rules, want)
			}
			other := middle
			other.Protocol = 3
			must(t, c.DelRule(other)) // nobody's: nothing may go
			if after := ip(t, fmt.Sprintf("-%d rule show table 101", f)); after != before {
				t.Errorf("a foreign rule changed: %q to %q", before, after)
			}
			if rules, _, _ = c.Read([]uint32{base}, nil); len(rules) != 3 {
				t.Errorf("left is %v", rules)
			}
		})
	}
}

// TestRandomRules writes random rules and reads them back, then deletes them in random order.
func TestRandomRules(t *testing.T) {
	c := newNetns(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	want := randomRules(rng, 300)
	for _, r := range want {
		must(t, c.AddRule(r))
	}
	got, _, err := c.Read([]uint32{base}, nil)
	must(t, err)
	slices.SortFunc(want, plan.CompareRules)
	if !slices.Equal(got, want) {
		t.Fatalf("seed %d: got\n%v\nwant\n%v", seed, got, want)
	}
	rng.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
	half := len(want) / 2
	must(t, c.DelRules(want[:half]))
	rest := slices.Clone(want[half:])
	slices.SortFunc(rest, plan.CompareRules)
	if got, _, err = c.Read([]uint32{base}, nil); err != nil || !slices.Equal(got, rest) {
		t.Fatalf("seed %d: after deleting half: %v\ngot\n%v\nwant\n%v", seed, err, got, rest)
	}
	must(t, c.DelRules(rest))
	if got, _, err = c.Read([]uint32{base}, nil); err != nil || len(got) != 0 {
		t.Fatalf("seed %d: left is %v, %v", seed, got, err)
	}
}

// randomRules makes n different rules, few priorities and values so that they overlap.
func randomRules(rng *rand.Rand, n int) []plan.Rule {
	seen := map[plan.Rule]bool{}
	var out []plan.Rule
	for len(out) < n {
		tc := ruleCases[rng.IntN(len(ruleCases))]
		_, r := inFamily("", tc.rule, plan.Families[rng.IntN(2)])
		more := ruleCases[rng.IntN(len(ruleCases))].rule
		if r.MarkMask == 0 {
			r.Mark, r.MarkMask = more.Mark, more.MarkMask
		}
		if r.IIF == "" {
			r.IIF = more.IIF
		}
		if !r.HasUID {
			r.HasUID, r.UID = more.HasUID, more.UID
		}
		if r.Proto == 0 {
			r.Proto, r.SPort, r.DPort = more.Proto, more.SPort, more.DPort
		}
		r.Priority = uint32(base + 10 + rng.IntN(8))
		r.Invert = rng.IntN(2) == 0
		if !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	return out
}

func TestEncodeRuleRefuses(t *testing.T) {
	for want, r := range map[string]plan.Rule{
		"invalid address family": {},
		"other address family":   {Family: plan.IPv4, Src: netip.MustParsePrefix("::1/128")},
		"invalid dscp 64":        {Family: plan.IPv4, DSCP: 65},
		"what pbr never sets: x": {Family: plan.IPv4, Foreign: "x"},
	} {
		t.Run(want, func(t *testing.T) {
			if _, err := encodeRule(r); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v gives %v, not %q", r, err, want)
			}
		})
	}
}
