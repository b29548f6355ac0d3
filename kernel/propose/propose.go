// Package propose writes a first policy from the network of a machine. It is a pure function from a
// survey to text; what it writes passes pbr check.
package propose

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
	"pbr/kernel/facts"
)

// ErrNoDefault means that the machine has no default route, so there is no uplink to propose.
var ErrNoDefault = errors.New("no default route on this machine: add one, then run pbr init again")

// Policy returns a commented policy. Without a default route the error is ErrNoDefault.
func Policy(s *facts.Survey) (string, error) {
	p := newProposal(s)
	if len(p.uplinks) == 0 {
		return "", ErrNoDefault
	}
	return p.write(), nil
}

// Seen lists the interfaces, one a line, and what else was found, like the comments of the policy.
func Seen(s *facts.Survey) []string { return newProposal(s).seen() }

// uplink is an interface with a default route.
type uplink struct {
	name string
	link facts.Interface
	// route4 and route6 are the best default routes, nil where there is none.
	route4, route6 *facts.DefaultRoute
	// others counts further gateways over the same interface.
	others int
}

// metric is the smaller one of both IP versions; IPv4's decides where there is one, since routing
// daemons count in IPv6 by other numbers.
func (u *uplink) metric() uint32 {
	if u.route4 != nil {
		return u.route4.Metric
	}
	return u.route6.Metric
}

// proposal is how a survey's interfaces are interpreted.
type proposal struct {
	survey  *facts.Survey
	uplinks []*uplink
	// roles are those of the interfaces, by name.
	roles map[string]role
}

func newProposal(s *facts.Survey) *proposal {
	p := &proposal{survey: s, roles: map[string]role{}}
	byDev := map[string]*uplink{}
	for i := range s.Defaults {
		d := &s.Defaults[i]
		at := slices.IndexFunc(s.Links, func(l facts.Interface) bool { return l.Name == d.Dev })
		if at < 0 {
			continue // gone between two readings
		}
		u := byDev[d.Dev]
		if u == nil {
			u = &uplink{link: s.Links[at]}
			byDev[d.Dev] = u
			p.uplinks = append(p.uplinks, u)
		}
		u.take(d)
	}
	sorting.Func(p.uplinks, (*uplink).compare)
	for i, u := range p.uplinks {
		u.name = uplinkName(i)
	}
	for _, l := range s.Links {
		p.roles[l.Name] = roleOf(l, byDev[l.Name] != nil)
	}
	return p
}

// take adds a default route to an uplink; routes come in the order of their metrics.
func (u *uplink) take(d *facts.DefaultRoute) {
	route := &u.route4
	if d.Family == plan.IPv6 {
		route = &u.route6
	}
	if *route != nil {
		u.others++
		return
	}
	*route = d
}

// compare orders uplinks by metric; those with only IPv6 come after those with IPv4.
func (u *uplink) compare(o *uplink) int {
	only6 := func(u *uplink) int {
		if u.route4 == nil {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(only6(u), only6(o)), cmp.Compare(u.metric(), o.metric()))
}

// distances returns each uplink's distance in default: equal metrics share one, as with several
// next hops in main.
func (p *proposal) distances() []int {
	out := make([]int, len(p.uplinks))
	for i, u := range p.uplinks {
		switch {
		case i == 0:
			out[i] = 1
		case u.compare(p.uplinks[i-1]) == 0:
			out[i] = out[i-1]
		default:
			out[i] = out[i-1] + 1
		}
	}
	return out
}

// inside returns the interfaces of networks behind this machine, in the order of their names.
func (p *proposal) inside(roles ...role) (out []facts.Interface) {
	for _, l := range p.survey.Links {
		if slices.Contains(roles, p.roles[l.Name]) {
			out = append(out, l)
		}
	}
	return out
}

// private reports whether an address is not valid on the internet (RFC 1918, 6598, 4193).
func private(a netip.Addr) bool { return a.IsPrivate() || shared.Contains(a) }

var shared = netip.MustParsePrefix("100.64.0.0/10")
