package kernel

import (
	"net/netip"
	"slices"
	"testing"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/route"
)

// What default has left, or is about to leave, is known by the routes of both directions.
func TestRoutedFlows(t *testing.T) {
	const ofDefault, ofMain, ofRule = 112000, 254, 112085
	addr := netip.MustParseAddr
	host, ruled, router, far := addr("192.168.10.10"), addr("192.168.10.12"), addr("192.168.10.1"), addr("198.18.0.99")
	inside := netip.MustParsePrefix("192.168.0.0/16")
	tuple := func(src, dst netip.Addr) conntrack.Tuple {
		return conntrack.Tuple{Src: src, Dst: dst, Proto: 6, SPort: 1000, DPort: 80, HasPorts: true}
	}
	flow := func(src, dst netip.Addr, mark uint32) conntrack.Flow {
		orig := tuple(src, dst)
		return conntrack.Flow{Orig: orig, Reply: orig.Reversed(), Mark: mark}
	}
	others := flow(host, far, 0)
	others.Reply.Dst = addr("192.0.2.77") // -- somebody else translates it
	forwarded := flow(far, addr("192.0.2.2"), 0)
	forwarded.Reply.Src = host
	six := flow(addr("2001:db8:10::10"), addr("2001:db8:ffff::99"), 0)
	flows := map[string]conntrack.Flow{
		"from inside": flow(host, far, 0), "translated by others": others, "others' bit": flow(host, far, 1),
		"forwarded from outside": forwarded, "from outside": flow(far, host, 0), "router's": flow(router, far, 0),
		"pinned": flow(host, far, 0x45000000), "pinned from inside": flow(host, far, 0xc5000000),
		"to the router": flow(host, router, 0), "between LANs": flow(host, addr("192.168.20.20"), 0),
		"by a rule": flow(ruled, far, 0), "other version": six, "multicast": flow(host, addr("239.1.1.1"), 0),
	}
	elsewhere := route.Way{Dev: "wan2", Table: ofDefault}
	for _, c := range []struct {
		name    string
		now     route.Way // of default
		strict  bool
		leaving bool // else left
		want    bool
	}{
		{"elsewhere", elsewhere, false, false, true},
		{"still there", route.Way{Dev: "wan1", Table: ofDefault}, false, false, false},
		{"no route", route.Way{}, false, false, false},
		{"main's default route", route.Way{Dev: "wan2", Table: ofMain}, false, false, false},
		{"refused", route.Way{Refused: true}, false, false, false},
		{"refused, strict", route.Way{Refused: true}, true, false, true},
		{"leaving", route.Way{Dev: "wan1", Table: ofDefault}, false, true, true},
		{"not leaving", elsewhere, false, true, false},
	} {
		r := &routedFlows{local: map[netip.Addr]bool{router: true}, ways: map[route.Query]route.Way{},
			way: func(q route.Query) (route.Way, error) {
				switch {
				case q.Dst == router:
					return route.Way{Local: true}, nil
				case inside.Contains(q.Dst):
					return route.Way{Dev: "br-lan", Table: ofMain}, nil
				case q.Src == ruled && q.IIF == "br-lan":
					return route.Way{Dev: "wan1", Table: ofRule}, nil
				case q.Src.IsValid() && q.Src != router && q.IIF != "br-lan":
					t.Errorf("%s: from %s by %q", c.name, q.Src, q.IIF)
				case !q.Src.IsValid():
					return route.Way{Dev: "wan2", Table: ofDefault}, nil
				}
				return c.now, nil
			}}
		u := &Unmarked{Family: plan.IPv4, Mask: 0xff000000, Table: ofDefault, Interface: "wan1", Strict: c.strict}
		wanted := u.left
		if c.leaving {
			wanted = u.stays
		}
		for name, f := range flows {
			want := c.want && slices.Contains([]string{"from inside", "translated by others", "others' bit",
				"forwarded from outside", "from outside", "router's"}, name)
			if got := len(r.among([]conntrack.Flow{f}, u, wanted)) == 1; got != want {
				t.Errorf("%s: connection %s: found: %v, want %v", c.name, name, got, want)
			}
		}
		if r.err != nil {
			t.Error(r.err)
		}
	}
}
