package render

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

func TestChainRule(t *testing.T) {
	for _, cases := range [][]ruleCase{matchCases(), actionCases(), choiceCases(), tupleCases(), programCases(),
		natCases(), kernelCases()} {
		for _, c := range cases {
			t.Run(c.text, func(t *testing.T) {
				if got := string(appendChainRule(nil, &c.rule)); got != c.text {
					t.Errorf("got  %s\nwant %s", got, c.text)
				}
			})
		}
	}
}

// TestEveryFieldAndAction keeps the cases complete: what the vocabulary has, they have.
func TestEveryFieldAndAction(t *testing.T) {
	fields, actions := map[plan.Field]bool{}, map[reflect.Type]bool{}
	for _, cases := range [][]ruleCase{matchCases(), actionCases(), choiceCases(), tupleCases(), programCases(),
		natCases(), kernelCases(), {{rule: wideRuleset().Chains[0].Rules[0]}}} {
		for _, c := range cases {
			for _, m := range c.rule.Matches {
				fields[m.Field] = true
			}
			for _, a := range c.rule.Actions {
				actions[reflect.TypeOf(a)] = true
			}
		}
	}
	t.Run("fields", func(t *testing.T) {
		for f := plan.Field(1); f.Type() != 0; f++ {
			if !fields[f] || strings.HasPrefix(fieldName(f), "field(") {
				t.Errorf("field %d (%s) has no case", f, fieldName(f))
			}
		}
	})
	t.Run("actions", func(t *testing.T) {
		for _, a := range plan.ActionTypes() {
			if !actions[reflect.TypeOf(a)] || strings.HasPrefix(actionName(a), "action(") {
				t.Errorf("action %T (%s) has no case", a, actionName(a))
			}
		}
	})
}

func TestChainRuleForeign(t *testing.T) {
	r := plan.ChainRule{Foreign: "[ meta load iif ]\n[ drop ]"}
	if got, want := string(appendChainRule(nil, &r)), "# foreign: [ meta load iif ] [ drop ]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNFTText(t *testing.T) {
	mark := rule(ms(num(plan.FieldL4Proto, 17, 17), inSet(plan.FieldIPSAddr, "list-phones-4")),
		plan.Count{Counter: "policy-voip"}, plan.Goto{Chain: "mark-isp2"})
	mark.Comment = "policy voip"
	p := &plan.Plan{Ruleset: plan.Ruleset{
		Counters: []plan.Counter{{Name: "policy-voip", Comment: "policy voip"}},
		Sets: []plan.Set{
			{Name: "list-phones-4", Type: plan.TypeIPv4, Interval: true, Comment: "list phones",
				Elements: []plan.Element{addrSpan("10.0.0.0", "10.0.0.255"), addrSpan("10.0.1.1", "10.0.1.9")}},
			{Name: "pins", Type: plan.TypeIfname, Map: true, Elements: names("mark-isp2", "eth1")},
		},
		Chains: []plan.Chain{
			{Name: "mark-isp2", Rules: []plan.ChainRule{rule(nil, plan.SetMark{Mask: testMask, Value: 0x13000000})}},
			{Name: "classify", Rules: []plan.ChainRule{mark}},
			{Name: "prerouting", Kind: "filter", Hook: "prerouting", Priority: -150,
				Rules: []plan.ChainRule{rule(nil, plan.Goto{Chain: "classify"})}},
			{Name: "late", Kind: "filter", Hook: "postrouting", Priority: -149},
		},
	}}
	const want = `table inet pbr
delete table inet pbr
table inet pbr {
	counter policy-voip {
		comment "policy voip"
	}

	set list-phones-4 {
		type ipv4_addr
		flags interval
		comment "list phones"
		elements = { 10.0.0.0/24, 10.0.1.1-10.0.1.9 }
	}

	map pins {
		type ifname : verdict
		elements = { "eth1" : goto mark-isp2 }
	}

	chain mark-isp2 {
		meta mark set meta mark and 0x00ffffff or 0x13000000
	}

	chain classify {
		meta l4proto udp ip saddr @list-phones-4 counter name "policy-voip" goto mark-isp2 comment "policy voip"
	}

	chain prerouting {
		type filter hook prerouting priority mangle; policy accept;
		goto classify
	}

	chain late {
		type filter hook postrouting priority -149; policy accept;
	}
}
`
	var b bytes.Buffer
	if err := NFT(&b, p); err != nil {
		t.Fatal(err)
	}
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestNFTEmpty(t *testing.T) {
	var b bytes.Buffer
	if err := NFT(&b, &plan.Plan{}); err != nil {
		t.Fatal(err)
	}
	if want := "table inet pbr\ndelete table inet pbr\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestElementsWrap(t *testing.T) {
	s := plan.Set{Name: "s", Type: plan.TypePort}
	for i := range uint32(1000) {
		s.Elements = append(s.Elements, span(plan.TypePort, i, i))
	}
	lines := strings.Split(string(appendElements(nil, &s)), "\n")
	if len(lines) < 40 {
		t.Fatalf("%d lines", len(lines))
	}
	t.Run("no line is much wider than the wrap", func(t *testing.T) {
		for _, l := range lines {
			if len(strings.ReplaceAll(l, "\t", "        ")) > wrapColumn+40 {
				t.Errorf("long line %q", l)
			}
		}
	})
	t.Run("nothing is lost", func(t *testing.T) {
		if got := strings.Fields(strings.Join(lines, " ")); len(got) != 1000+4 { // elements = { ... }
			t.Errorf("%d words", len(got))
		}
	})
}

func TestPrefixLen(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"10.0.0.0", "10.0.0.0", "10.0.0.0"},
		{"10.0.0.0", "10.255.255.255", "10.0.0.0/8"},
		{"10.0.0.0", "10.0.0.1", "10.0.0.0/31"},
		{"10.0.0.1", "10.0.0.2", "10.0.0.1-10.0.0.2"},
		{"10.0.0.1", "10.0.0.255", "10.0.0.1-10.0.0.255"},
		{"10.0.0.0", "10.0.1.254", "10.0.0.0-10.0.1.254"},
		{"10.0.1.0", "10.0.2.255", "10.0.1.0-10.0.2.255"},
		{"0.0.0.0", "255.255.255.255", "0.0.0.0/0"},
		{"fd00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fd00::/8"},
		{"fd00::", "fd00::1:0", "fd00::-fd00::1:0"},
	} {
		t.Run(c.want, func(t *testing.T) {
			kind := plan.TypeIPv4
			if strings.Contains(c.from, ":") {
				kind = plan.TypeIPv6
			}
			if got := string(appendInterval(nil, kind, key(c.from), key(c.to))); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestProtocolRange: a range that begins with a name would be one name to nft.
func TestProtocolRange(t *testing.T) {
	from, to := plan.KeyFromUint(plan.TypeProto, 2), plan.KeyFromUint(plan.TypeProto, 255)
	if got := string(appendInterval(nil, plan.TypeProto, from, to)); got != "2-255" {
		t.Errorf("got %s, want 2-255", got)
	}
}

// TestNFTRefuses what could end its line or quotes and become another rule.
func TestNFTRefuses(t *testing.T) {
	chain := func(r plan.ChainRule) plan.Ruleset {
		return plan.Ruleset{Chains: []plan.Chain{{Name: "c", Rules: []plan.ChainRule{r}}}}
	}
	for want, rs := range map[string]plan.Ruleset{
		`counter "a b"`:               {Counters: []plan.Counter{{Name: "a b"}}},
		`counter a: comment`:          {Counters: []plan.Counter{{Name: "a", Comment: `x" }`}}},
		`set "1a"`:                    {Sets: []plan.Set{{Name: "1a", Type: plan.TypeIPv4}}},
		`set s: unknown key type(99)`: {Sets: []plan.Set{{Name: "s", Type: 99}}},
		`set s: interface name`:       {Sets: []plan.Set{{Name: "s", Type: plan.TypeIfname, Elements: names("", `a"b`)}}},
		`map s: element "eth1" leads`: {Sets: []plan.Set{{Name: "s", Type: plan.TypeIfname, Map: true, Elements: names("", "eth1")}}},
		`chain "a;b"`:                 {Chains: []plan.Chain{{Name: "a;b"}}},
		`rule 1: comment`:             chain(plan.ChainRule{Comment: "a\nb"}),
		`rule 1: unknown field(77)`:   chain(rule(ms(plan.Match{Field: 77}))),
		`rule 1: set "x y"`:           chain(rule(ms(inSet(plan.FieldIPSAddr, "x y")))),
		`rule 1: interface name ""`:   chain(rule(ms(plan.Match{Field: plan.FieldIIFName, Wildcard: true}))),
		`"goto a b"`:                  chain(rule(nil, plan.Goto{Chain: "a b"})),
		`"action(<nil>)"`:             chain(rule(nil, nil)),
		`set s: not a map`:            {Sets: []plan.Set{{Name: "s", Type: plan.TypeIPv4, Dynamic: true}}},
		`map s: not a map`:            {Sets: []plan.Set{{Name: "s", Type: plan.TypeIPv4, Map: true, Data: plan.TypeMark}}},
		`"jhash mod 4 seed 0x0 vmap`:  chain(rule(nil, plan.HashVMap{Mod: 4, Set: "s"})),
		`"numgen inc mod 0 vmap`:      chain(rule(nil, plan.CycleVMap{Set: "s"})),
		`"update @s { ip saddr tim`:   chain(rule(nil, plan.Remember{Field: plan.FieldIPSAddr, Set: "s"})),
		`"delete @s { th dport`:       chain(rule(nil, plan.Forget{Field: plan.FieldDPort, Set: "s"})),
		`"snat ip6 to `:               chain(rule(nil, plan.SNAT{})),
	} {
		t.Run(want, func(t *testing.T) {
			err := NFT(&bytes.Buffer{}, &plan.Plan{Ruleset: rs})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one with %s", err, want)
			}
			if err := Script(&bytes.Buffer{}, &plan.Plan{Ruleset: rs}); err == nil {
				t.Errorf("Script wrote it: %s", want)
			}
		})
	}
}

// brokenWriter fails.
type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteErrors(t *testing.T) {
	p := widePlan()
	for name, err := range map[string]error{
		"NFT": NFT(brokenWriter{}, p), "IP": IP(brokenWriter{}, p), "Script": Script(brokenWriter{}, p), "JSON": JSON(brokenWriter{}, p),
		"Diff":        Diff(brokenWriter{}, p, p, &plan.Changes{}, false),
		"Diagnostics": Diagnostics(brokenWriter{}, nil, nil, false, 0), "DiagnosticsJSON": DiagnosticsJSON(brokenWriter{}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			if !errors.Is(err, errBroken) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// bigPlan has 10,000 rules and 100,000 elements.
func bigPlan() *plan.Plan {
	rs := plan.Ruleset{Sets: []plan.Set{{Name: "big", Type: plan.TypeIPv4, Interval: true}}, Chains: []plan.Chain{{Name: "classify"}}}
	for i := range uint32(100_000) {
		from := 10<<24 + i*4
		rs.Sets[0].Elements = append(rs.Sets[0].Elements, plan.Element{From: plan.KeyFromUint32(from),
			To: plan.KeyFromUint32(from + 1 + i%3)})
	}
	for i := range 10_000 {
		r := rule(ms(dev(plan.FieldIIFName, "br-lan"), num(plan.FieldL4Proto, 17, 17), inSet(plan.FieldIPSAddr, "big"),
			num(plan.FieldDPort, 53, 53)),
			plan.Count{Counter: "policy-voip"}, plan.Goto{Chain: "mark-isp1"})
		r.Comment = fmt.Sprint("policy ", i)
		rs.Chains[0].Rules = append(rs.Chains[0].Rules, r)
	}
	return &plan.Plan{Mask: testMask, Ruleset: rs}
}

func BenchmarkNFT(b *testing.B) {
	p := bigPlan()
	var out bytes.Buffer
	for b.Loop() {
		out.Reset()
		if err := NFT(&out, p); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(out.Len()))
}

func BenchmarkScript(b *testing.B) {
	p := bigPlan()
	var out bytes.Buffer
	for b.Loop() {
		out.Reset()
		if err := Script(&out, p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJSON(b *testing.B) {
	p := bigPlan()
	var out bytes.Buffer
	for b.Loop() {
		out.Reset()
		if err := JSON(&out, p); err != nil {
			b.Fatal(err)
		}
	}
}
