package policy

import (
	"net/netip"
	"testing"
)

func TestMayMatch(t *testing.T) {
	item := func(addr string) AddrItem {
		a := netip.MustParseAddr(addr)
		return AddrItem{Range: Range{From: a, To: a}}
	}
	four, six, list := item("192.0.2.1"), item("2001:db8::1"), AddrItem{List: "x"}
	not := four
	not.Not = true
	for name, c := range map[string]struct {
		policy       Policy
		want4, want6 bool
	}{
		"nothing":      {Policy{}, true, true},
		"ipv":          {Policy{IPVersion: 6}, false, true},
		"src":          {Policy{Src: []AddrItem{four}}, true, false},
		"src of both":  {Policy{Src: []AddrItem{four, six}}, true, true},
		"a list":       {Policy{Src: []AddrItem{four, list}}, true, true},
		"dst":          {Policy{Src: []AddrItem{list}, Dst: []AddrItem{six}}, false, true},
		"all but some": {Policy{Src: []AddrItem{not}}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			c.policy.RareKeys = usualKeys
			if got4, got6 := c.policy.MayMatch(4), c.policy.MayMatch(6); got4 != c.want4 || got6 != c.want6 {
				t.Errorf("IPv4 %v, IPv6 %v", got4, got6)
			}
		})
	}
}
