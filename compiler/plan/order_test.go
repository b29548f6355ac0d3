package plan

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
)

func TestNormalizeRoute(t *testing.T) {
	p := &Plan{Routes: []Route{
		{Family: IPv6, Table: 100, Dst: netip.MustParsePrefix("2001:db8::1/32"), Kind: Unicast, Hops: []Hop{
			{Dev: "b", Weight: 2}, {Dev: "a", Via: netip.MustParseAddr("fe80::1"), Onlink: true},
		}},
		{Family: IPv4, Table: 100, Dst: netip.MustParsePrefix("0.0.0.0/0"), Kind: Unreachable, Metric: 65535, Hops: []Hop{{Dev: "lo"}}},
		{Family: IPv4, Table: 100, Dst: netip.MustParsePrefix("10.1.2.3/8"), Kind: Unicast,
			Hops: []Hop{{Dev: "a", Weight: 7, Onlink: true}}},
	}}
	Normalize(p)
	want := []Route{
		{Family: IPv4, Table: 100, Dst: netip.MustParsePrefix("0.0.0.0/0"), Kind: Unreachable, Metric: 65535},
		{Family: IPv4, Table: 100, Dst: netip.MustParsePrefix("10.0.0.0/8"), Kind: Unicast, Hops: []Hop{{Dev: "a", Weight: 1}}},
		{Family: IPv6, Table: 100, Dst: netip.MustParsePrefix("2001:db8::/32"), Metric: 1024, Kind: Unicast, Hops: []Hop{
			{Dev: "a", Via: netip.MustParseAddr("fe80::1"), Weight: 1, Onlink: true}, {Dev: "b", Weight: 2},
		}},
	}
	if !reflect.DeepEqual(p.Routes, want) {
		t.Errorf("got  %v\nwant %v", p.Routes, want)
	}
}

func TestNormalizeRule(t *testing.T) {
	p := &Plan{Rules: []Rule{
		{Family: IPv6, Priority: 1, Action: ActUnreachable, Table: 9, Goto: 3},
		{Family: IPv4, Priority: 2, Action: ActLookup, Table: 9, Src: netip.MustParsePrefix("0.0.0.0/0"),
			Dst:  netip.MustParsePrefix("10.1.1.1/8"),
			Mark: 0xffff, MarkMask: 0xff00},
	}}
	Normalize(p)
	want := []Rule{
		{Family: IPv4, Priority: 2, Action: ActLookup, Table: 9, Dst: netip.MustParsePrefix("10.0.0.0/8"), Mark: 0xff00, MarkMask: 0xff00},
		{Family: IPv6, Priority: 1, Action: ActUnreachable},
	}
	if !slices.Equal(p.Rules, want) {
		t.Errorf("got  %v\nwant %v", p.Rules, want)
	}
}

// TestCompareRulesSeesEveryField sets one field of a rule at a time: order must be total, or Sort
// would depend on what it was given.
func TestCompareRulesSeesEveryField(t *testing.T) {
	typ := reflect.TypeFor[Rule]()
	for i := range typ.NumField() {
		var r Rule
		f := reflect.ValueOf(&r).Elem().Field(i)
		switch f.Interface().(type) {
		case netip.Prefix:
			f.Set(reflect.ValueOf(netip.MustParsePrefix("10.0.0.0/8")))
		case PortRange:
			f.Set(reflect.ValueOf(PortRange{0, 1}))
		case UIDRange:
			f.Set(reflect.ValueOf(UIDRange{0, 1}))
		default:
			switch {
			case f.CanUint():
				f.SetUint(1)
			case f.Kind() == reflect.Bool:
				f.SetBool(true)
			default:
				f.SetString("x")
			}
		}
		if CompareRules(r, Rule{}) != 1 || CompareRules(Rule{}, r) != -1 || CompareRules(r, r) != 0 {
			t.Errorf("rules that differ in %s compare equal", typ.Field(i).Name)
		}
	}
}

func TestSortGivesOneOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	p := &Plan{
		Numbers:  []Number{{Name: "a"}, {Name: "b"}},
		Sysctls:  []Sysctl{{"net/a", "1"}, {"net/b", "1"}},
		Deferred: []Deferred{{"uplink a", "a", "x"}, {"uplink b", "b", "x"}},
		Dynamic:  []Dynamic{{Family: IPv4, Priority: 1}, {Family: IPv4, Priority: 2}, {Family: IPv6, Priority: 1}},
		Ruleset: Ruleset{
			Counters:   []Counter{{Name: "a"}, {Name: "b"}},
			Flowtables: []Flowtable{{Name: "a", Devices: []string{"x", "y"}, Except: []string{"u", "v"}}, {Name: "b"}},
			Sets:       []Set{{Name: "a", Elements: []Element{{From: Key{1}}, {From: Key{2}}, {From: Key{2, 1}}}}, {Name: "b"}},
			Foreign:    []string{"quota p", "quota q"},
		},
	}
	want := *p
	shuffled := *p
	shuffled.Numbers, shuffled.Sysctls, shuffled.Deferred = slices.Clone(p.Numbers), slices.Clone(p.Sysctls), slices.Clone(p.Deferred)
	shuffled.Dynamic, shuffled.Ruleset.Counters = slices.Clone(p.Dynamic), slices.Clone(p.Ruleset.Counters)
	shuffled.Ruleset.Sets, shuffled.Ruleset.Foreign = slices.Clone(p.Ruleset.Sets), slices.Clone(p.Ruleset.Foreign)
	shuffled.Ruleset.Sets[0].Elements = slices.Clone(p.Ruleset.Sets[0].Elements)
	shuffled.Ruleset.Flowtables = slices.Clone(p.Ruleset.Flowtables)
	first := &shuffled.Ruleset.Flowtables[0]
	first.Devices, first.Except = []string{"y", "x"}, []string{"v", "u"}
	slices.Reverse(shuffled.Ruleset.Flowtables)
	slices.Reverse(shuffled.Numbers)
	slices.Reverse(shuffled.Sysctls)
	slices.Reverse(shuffled.Deferred)
	slices.Reverse(shuffled.Ruleset.Counters)
	slices.Reverse(shuffled.Ruleset.Sets)
	slices.Reverse(shuffled.Ruleset.Foreign)
	rng.Shuffle(3, func(i, j int) { shuffled.Dynamic[i], shuffled.Dynamic[j] = shuffled.Dynamic[j], shuffled.Dynamic[i] })
	slices.Reverse(shuffled.Ruleset.Sets[1].Elements)
	Sort(&shuffled)
	if !reflect.DeepEqual(shuffled, want) {
		t.Errorf("got  %v\nwant %v", shuffled, want)
	}
}
