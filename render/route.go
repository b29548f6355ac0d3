package render

import (
	"strconv"

	"pbr/compiler/plan"
)

// tableNames are the routing tables that every iproute2 knows by name (RT_TABLE_*,
// linux/rtnetlink.h).
var tableNames = map[uint32]string{253: "default", plan.MainTable: "main", 255: "local"}

// routeKinds are iproute2's words for route types; unicast is not written.
var routeKinds = []string{
	2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", plan.Blackhole: "blackhole",
	plan.Unreachable: "unreachable", plan.Prohibit: "prohibit", plan.Throw: "throw", 10: "nat",
}

// appendTable adds a routing table as ip writes it.
func appendTable(b []byte, table uint32) []byte {
	if s, ok := tableNames[table]; ok {
		return append(b, s...)
	}
	return appendUint(b, table)
}

// appendIP adds "ip -4 " or "ip -6 ".
func appendIP(b []byte, f plan.Family) []byte {
	return append(appendUint(append(b, "ip -"...), f), ' ')
}

// appendDst adds a destination; the default route has its own word.
func appendDst(b []byte, r *plan.Route) []byte {
	if r.Dst.Bits() == 0 {
		return append(b, "default"...)
	}
	if r.Dst.IsSingleIP() {
		return r.Dst.Addr().AppendTo(b)
	}
	return r.Dst.AppendTo(b)
}

// appendRoute adds a route as `ip route` takes and lists it, from its type on.
func appendRoute(b []byte, r *plan.Route) []byte {
	if r.Kind != plan.Unicast {
		b = append(appendNamed(b, routeKinds, uint8(r.Kind)), ' ')
	}
	b = appendDst(b, r)
	single := len(r.Hops) == 1
	if single {
		b = appendHop(append(b, ' '), r, 0)
	}
	b = appendTable(append(b, " table "...), r.Table)
	b = appendUint(append(b, " proto "...), r.Protocol)
	if r.Metric != 0 {
		b = appendUint(append(b, " metric "...), r.Metric)
	}
	if single && r.Hops[0].Onlink {
		b = append(b, " onlink"...)
	}
	if !single {
		for i := range r.Hops {
			b = appendHop(append(b, " nexthop "...), r, i)
			b = append(b, " weight "...)
			b = strconv.AppendInt(b, int64(r.Hops[i].Weight), 10)
			if r.Hops[i].Onlink {
				b = append(b, " onlink"...)
			}
		}
	}
	if r.Foreign != "" {
		b = appendLine(append(b, ' '), r.Foreign)
	}
	return b
}

// appendHop adds gateway and device of a next hop.
func appendHop(b []byte, r *plan.Route, i int) []byte {
	h := &r.Hops[i]
	switch {
	case h.Auto:
		b = append(b, "via GATEWAY "...)
	case h.Via.IsValid():
		b = append(b, "via "...)
		if r.Family == plan.IPv4 && h.Via.Is6() {
			b = append(b, "inet6 "...)
		}
		b = append(h.Via.AppendTo(b), ' ')
	}
	return append(append(b, "dev "...), shellWord(h.Dev)...)
}

// autoDevices returns the devices of r whose gateway only a live machine knows.
func autoDevices(r *plan.Route) []string {
	var devs []string
	for _, h := range r.Hops {
		if h.Auto {
			devs = append(devs, h.Dev)
		}
	}
	return devs
}
