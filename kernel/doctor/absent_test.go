package doctor

import (
	"slices"
	"strings"
	"testing"
)

// TestAbsent: what a policy names and the machine lacks is warned of by check --live and doctor,
// and by apply where a policy or rule matches nothing.
func TestAbsent(t *testing.T) {
	const head = "\n[[policy]]\nname = \"guests\"\nsrc = \"10.9.0.0/16\"\nuplink = \"isp2\"\nstrict = true\n"
	for _, c := range []struct {
		name, policy string
		want         []string // beginnings of the warnings
		quick        bool     // apply warns, too
	}{
		{"an interface list", head + `from = "LAN"`,
			[]string{`policy "guests" matches nothing now: from: there is no interface "LAN" here`}, true},
		{"an interface that exists", head + `from = "lan0"`, nil, false},
		{"a pattern that names one", head + `from = "lan*"`, nil, false},
		{"a pattern that names none", head + `from = "ppp*"`,
			[]string{`policy "guests" matches nothing now: from: there is no interface "ppp*" here`}, true},
		{"one of two", head + `from = ["LAN", "lan0"]`, nil, false},
		{"all but one", head + `from = "!LAN"`, nil, false},
		{"the router itself", head + `from = ["local", "LAN"]`, nil, false},
		{"two policies", head + "from = \"LAN\"\n[[policy]]\nname = \"more\"\ndst = \"203.0.113.7\"\nfrom = \"LAN\"\nuplink = \"isp2\"\nstrict = true",
			[]string{`policy "guests" matches nothing now: from: there is no interface "LAN" here; further policies or rules that name it: 1`}, true},
		{"a rule", "\n[[rule]]\nname = \"r\"\niif = \"LAN\"\ntable = \"main\"",
			[]string{`rule "r" matches nothing now: iif: there is no interface "LAN" here`}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, f := healthy(t, twoUplinks+c.policy)
			var live []string
			for _, d := range Live(s.Doc, f) {
				live = append(live, d.Message)
			}
			if !slices.Equal(live, c.want) {
				t.Errorf("check --live warns %q, want %q", live, c.want)
			}
			if lines := notOK(Examine(s, f)); len(lines) != len(c.want) {
				t.Errorf("doctor says %q", lines)
			}
			said := strings.Join(notOK(Quick(s, f, false)), "\n")
			if strings.Contains(said, "no-interface") != c.quick {
				t.Errorf("apply says %q", said)
			}
		})
	}
	t.Run("an uplink's interface is an uplink's finding in doctor", func(t *testing.T) {
		s, f := healthy(t, twoUplinks)
		delete(f.Host.Links, "wan2")
		if ds := Live(s.Doc, f); len(ds) != 1 || ds[0].Message != `uplink "isp2": there is no interface "wan2" here now` {
			t.Errorf("check --live warns %v", ds)
		}
		if said := strings.Join(notOK(Examine(s, f)), "\n"); strings.Contains(said, codeNoInterface) {
			t.Errorf("doctor says %s", said)
		}
	})
}

// TestNATAddress: an address to translate to that the provider's router looks for on the line, and
// that this router does not have, is warned of; one that is routed here, or another router's, is
// not.
func TestNATAddress(t *testing.T) {
	for _, c := range []struct {
		name, nat, standby string
		warned             bool
	}{
		{"its own", "192.0.2.2", "", false},
		{"a neighbour's", "192.0.2.22", "", true},
		{"routed here", "203.0.113.7", "", false},
		{"of a pair of routers", "192.0.2.22", ", standby = true", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, f := healthy(t, strings.Replace(twoUplinks, `nat = "masquerade"`, `nat = "`+c.nat+`"`+c.standby, 1))
			ds := Live(s.Doc, f)
			warned := len(ds) == 1 && ds[0].Code == codeNATAddress && strings.Contains(ds[0].Hint, "ip addr add 192.0.2.22/32 dev wan1")
			if warned != c.warned || !c.warned && len(ds) > 0 {
				t.Errorf("warnings: %v", ds)
			}
		})
	}
}
