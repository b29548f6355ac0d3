package route

import (
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
)

// Links reads the interfaces with their addresses, and how the kernel checks what arrives on them.
func (c *Conn) Links() (map[string]walk.Link, error) {
	links, addrs, err := c.linksAndAddrs()
	if err != nil {
		return nil, err
	}
	byIndex := map[uint32][]netip.Prefix{}
	for _, a := range addrs {
		if a.flags&unix.IFA_F_TENTATIVE == 0 {
			byIndex[a.index] = append(byIndex[a.index], a.Prefix)
		}
	}
	all := readCheck("all")
	out := make(map[string]walk.Link, len(links))
	for _, l := range links {
		check, own := all, readCheck(l.name)
		check.ReversePath = max(check.ReversePath, own.ReversePath)
		check.AcceptLocal, check.ValidMark = check.AcceptLocal || own.AcceptLocal, check.ValidMark || own.ValidMark
		check.RouteLocalnet = check.RouteLocalnet || own.RouteLocalnet
		out[l.name] = walk.Link{Index: int(l.index), Down: l.flags&unix.IFF_UP == 0,
			NoCarrier: l.flags&unix.IFF_LOWER_UP == 0 && passesOver(l.name),
			Addrs:     byIndex[l.index], Source: check}
	}
	return out, nil
}

// readCheck reads an interface's settings; what cannot be read counts as not set.
func readCheck(link string) walk.SourceCheck {
	return walk.SourceCheck{ReversePath: uint8(setting("net/ipv4/conf/" + link + "/rp_filter")),
		AcceptLocal: setting("net/ipv4/conf/"+link+"/accept_local") != 0, ValidMark: setting("net/ipv4/conf/"+link+"/src_valid_mark") != 0,
		RouteLocalnet: setting("net/ipv4/conf/"+link+"/route_localnet") != 0}
}

// passesOver reports whether the kernel skips routes of an interface without a carrier.
func passesOver(link string) bool {
	return setting("net/ipv4/conf/"+link+"/ignore_routes_with_linkdown") != 0 ||
		setting("net/ipv4/conf/all/ignore_routes_with_linkdown") != 0
}

func setting(path string) int {
	v, err := ReadSysctl(path)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(v)
	return n
}

// OthersRoutes reads the tables that others' rules look up, except the local table.
func (c *Conn) OthersRoutes(rules []plan.Rule) ([]plan.Route, error) {
	type table struct {
		family plan.Family
		id     uint32
	}
	seen := map[table]bool{}
	var out []plan.Route
	for _, family := range plan.Families {
		rules = append(rules, plan.Rule{Family: family, Action: plan.ActLookup, Table: plan.MainTable})
	}
	for _, r := range rules {
		t := table{r.Family, r.Table}
		if r.Action != plan.ActLookup || r.Table == 0 || r.Table == unix.RT_TABLE_LOCAL || seen[t] {
			continue
		}
		seen[t] = true
		routes, err := c.routes(t.family, t.id, 0)
		if err != nil {
			return nil, err
		}
		for _, route := range routes {
			out = append(out, route.Route)
		}
	}
	return out, nil
}
