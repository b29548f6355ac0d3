package doctor

import (
	"net/netip"
	"strings"
	"testing"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/facts"
)

// A snat that comes after pbr's has no effect, where pbr translates what it is for.
func TestLateSNAT(t *testing.T) {
	at := func(table, oif, hook string, priority int32) facts.Translation {
		return facts.Translation{Table: table, Chain: "post", OIF: oif, Handle: 4, Hooks: []facts.Hook{{Name: hook, Priority: priority}}}
	}
	for name, c := range map[string]struct {
		translation facts.Translation
		change      func(*policy.Document)
		want        []string // the uplinks that are warned of
	}{
		"at srcnat":     {at("ip nat", "wan1", "postrouting", 100), nil, []string{"isp1"}},
		"at pbr's own":  {at("ip nat", "wan1", "postrouting", 90), nil, []string{"isp1"}},
		"before pbr's":  {at("ip nat", "wan1", "postrouting", 80), nil, nil},
		"for all":       {at("inet nat", "", "postrouting", 100), nil, []string{"isp1", "isp2"}},
		"for a pattern": {at("inet nat", "wan*", "postrouting", 100), nil, []string{"isp1", "isp2"}},
		"for another":   {at("ip nat", "lan0", "postrouting", 100), nil, nil},
		"at input":      {at("ip nat", "", "input", 100), nil, nil},
		"pbr does not": {at("ip nat", "wan1", "postrouting", 100),
			func(d *policy.Document) { d.Uplinks[0].NAT = policy.NAT{Pos: policy.Pos{Line: 1}} }, nil},
		"pbr does not in IPv6": {at("ip6 nat", "wan1", "postrouting", 100),
			func(d *policy.Document) { d.Uplinks[0].NAT6 = policy.NAT{Pos: policy.Pos{Line: 1}} }, nil},
		"in IPv6": {at("ip6 nat", "wan1", "postrouting", 100), nil, []string{"isp1"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := healthy(t, twoUplinks)
			f.Translations = []facts.Translation{c.translation}
			if c.change != nil {
				c.change(s.Doc)
			}
			var got []string
			for _, d := range Live(s.Doc, f) {
				if d.Code != codeLateSNAT || d.Severity != policy.Warning ||
					!strings.Contains(d.Hint, "priority below 90") || !strings.Contains(d.Message, "(rule 4) has no effect") {
					t.Errorf("%s: %+v", name, d)
				}
				_, after, _ := strings.Cut(d.Message, `"`)
				uplink, _, _ := strings.Cut(after, `"`)
				got = append(got, uplink)
			}
			if strings.Join(got, " ") != strings.Join(c.want, " ") {
				t.Errorf("%s: warns of %q, want %q", name, got, c.want)
			}
			if lines := notOK(Examine(s, f)); len(lines) != len(c.want) || len(lines) > 0 &&
				!strings.HasPrefix(lines[0], "warn late-snat: ") {
				t.Errorf("%s: doctor says %q", name, lines)
			}
		})
	}
}

// Two uplinks with one address are reported, once for each pair.
func TestSameAddress(t *testing.T) {
	s, f := healthy(t, twoUplinks)
	if ds := Live(s.Doc, f); ds != nil {
		t.Errorf("different addresses: %v", ds)
	}
	l := f.Host.Links["wan2"]
	l.Addrs = []netip.Addr{netip.MustParseAddr("192.0.2.2")}
	f.Host.Links["wan2"] = l
	lines := notOK(Examine(s, f))
	if len(lines) != 1 || !strings.HasPrefix(lines[0],
		`warn same-address: uplinks "isp1" and "isp2" have the same address 192.0.2.2`) || !strings.Contains(lines[0], "another network") {
		t.Errorf("doctor says %q", lines)
	}
}

// What is wrong with a gateway can be seen without asking it.
func TestGatewayWarnings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*policy.Uplink)
		want   string // code, and what is said
	}{
		"in the interface's network": {func(*policy.Uplink) {}, ""},
		"in no network": {func(u *policy.Uplink) { u.Gateway.Addr = netip.MustParseAddr("203.0.113.1") },
			`strange-gateway uplink "isp1": gateway 203.0.113.1 is in no network of this router`},
		"link-local": {func(u *policy.Uplink) {
			u.Gateway6 = policy.Gateway{Present: true, Addr: netip.MustParseAddr("fe80::1")}
		}, ""},
		"not named": {func(u *policy.Uplink) {
			u.Gateway = policy.Gateway{Pos: u.Pos, Present: true, Link: true, Implicit: true}
			u.Gateway6 = u.Gateway
		}, `unnamed-gateway uplink "isp1": the policy names no gateway, so that packets go to each destination directly, ` +
			`but main's default route through wan1 has gateway 192.0.2.1`},
		"refused by the kernel": {func(u *policy.Uplink) {
			u.Gateway6 = policy.Gateway{Pos: u.Pos, Present: true, Addr: netip.MustParseAddr("2001:db8:9::1")}
		}, `refused-gateway uplink "isp1": the kernel refuses gateway 2001:db8:9::1 on wan1, because main routes 2001:db8:9::/64 ` +
			`through lan: ip -6 route add 2001:db8:9::1 dev wan1`},
		"point-to-point on purpose": {func(u *policy.Uplink) {
			u.Gateway = policy.Gateway{Pos: policy.Pos{Line: 1}, Present: true, Link: true}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := healthy(t, twoUplinks)
			c.change(&s.Doc.Uplinks[0])
			f.Host.Refused = []plan.Refusal{{NextHop: plan.NextHop{Dev: "wan1", Via: netip.MustParseAddr("2001:db8:9::1")},
				Dst: netip.MustParsePrefix("2001:db8:9::/64"), Through: "lan"}}
			var got []string
			for _, d := range Live(s.Doc, f) {
				got = append(got, d.Code+" "+d.Message)
			}
			if strings.Join(got, "; ") != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
