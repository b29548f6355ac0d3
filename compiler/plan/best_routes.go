package plan

import (
	"net/netip"
	"slices"
)

// Destination is what routes of a table lead to.
type Destination struct {
	Table uint32
	Dst   netip.Prefix
}

// BestRoutes returns the routes of a family that the kernel takes: of each destination, that of the
// lowest metric.
func (p *Plan) BestRoutes(family Family) map[Destination]Route {
	best := map[Destination]Route{}
	for _, r := range p.Routes {
		at := Destination{r.Table, r.Dst}
		if old, seen := best[at]; r.Family == family && (!seen || r.Metric < old.Metric) {
			best[at] = r
		}
	}
	return best
}

// Uses reports whether one of the route's hops leads through an interface.
func (r *Route) Uses(dev string) bool {
	return slices.ContainsFunc(r.Hops, func(h Hop) bool { return h.Dev == dev })
}
