package routeros

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// What follows is RouterOS's own way of looking at a packet: rule by rule, marks and all, with
// nothing of the importer's but the text of the statements.

// packet is the first packet of a connection; in is empty for the router's own.
type packet struct {
	in           string
	src, dst     netip.Addr
	proto        int
	sport, dport int
}

// ros is a router as RouterOS runs it.
type ros struct {
	all     []*statement
	uplinks []string
	// buckets are what per-connection-classifier and nth choose for the packet at hand, by
	// classifier.
	buckets map[string]int
}

// outcome is how a mangle chain leaves a packet.
type outcome struct{ connection, routing string }

func (r *ros) sections(name string) (out []*statement) {
	for _, s := range r.all {
		if s.section == name && s.verb == "add" && !s.has("disabled", "yes") {
			out = append(out, s)
		}
	}
	return out
}

// ways are the interfaces that a packet may leave through, by the choices of its classifiers.
func (r *ros) ways(p packet) (out []string) {
	r.buckets = map[string]int{}
	keys, sizes := r.classifiers()
	total := 1
	for _, n := range sizes {
		total *= n
	}
	for i := range total {
		for j, rest := 0, i; j < len(keys); j++ {
			r.buckets[keys[j]] = rest % sizes[j]
			rest /= sizes[j]
		}
		for _, way := range r.way(p) {
			if !slices.Contains(out, way) {
				out = append(out, way)
			}
		}
	}
	return out
}

func (r *ros) classifiers() (keys []string, sizes []int) {
	for _, s := range r.sections("ip firewall mangle") {
		key, n := s.get("per-connection-classifier"), 0
		if fields, buckets, ok := strings.Cut(key, ":"); ok {
			count, _, _ := strings.Cut(buckets, "/")
			n, _ = strconv.Atoi(count)
			key = fields + ":" + count
		} else if nth := s.get("nth"); nth != "" {
			count, _, _ := strings.Cut(nth, ",")
			n, _ = strconv.Atoi(count)
			key = "nth:" + count
		}
		if n > 0 && !slices.Contains(keys, key) {
			keys, sizes = append(keys, key), append(sizes, n)
		}
	}
	return keys, sizes
}

// way routes one packet.
func (r *ros) way(p packet) []string {
	chain := "prerouting"
	if p.in == "" {
		chain = "output"
	}
	first := r.run(chain, p, outcome{}, true)
	if first.routing == "" && first.connection != "" { // the importer gives the first packet the way of the later ones
		first = r.run(chain, p, first, false)
	}
	table := first.routing
	if table == "" {
		table = r.byRule(p)
	}
	if table != "" && table != "main" {
		if ways := r.lookup(table, p); ways != nil {
			return ways
		}
	}
	return r.lookup("main", p)
}

// byRule is the table of the first routing rule that matches.
func (r *ros) byRule(p packet) string {
	rules := append(r.sections("ip route rule"), r.sections("routing rule")...)
	slices.SortStableFunc(rules, func(a, b *statement) int { return a.number("priority", 1e6) - b.number("priority", 1e6) })
	for _, s := range rules {
		if s.get("routing-mark") == "" && within(s.get("src-address"), p.src) && within(s.get("dst-address"), p.dst) &&
			(s.get("interface") == "" || s.has("interface", p.in)) {
			return s.get("table")
		}
	}
	return ""
}

// lookup is a table's best route for a packet: the interfaces of its gateways.
func (r *ros) lookup(table string, p packet) (out []string) {
	bits, distance := -1, 0
	for _, s := range r.sections("ip route") {
		name := orElse(orElse(s.get("routing-table"), s.get("routing-mark")), "main")
		dst := netip.MustParsePrefix(orElse(s.get("dst-address"), "0.0.0.0/0"))
		if name != table || !dst.Contains(p.dst) || dst.Bits() < bits || s.get("type") != "" || s.flag("blackhole") {
			continue
		}
		var ways []string
		for gateway := range strings.SplitSeq(s.get("gateway"), ",") {
			ways = append(ways, r.gateway(gateway, 0)...)
		}
		d := s.number("distance", 1)
		switch {
		case len(ways) == 0:
		case dst.Bits() > bits || d < distance:
			bits, distance, out = dst.Bits(), d, ways
		case d == distance:
			out = append(out, ways...)
		}
	}
	return out
}

func (r *ros) gateway(text string, depth int) (out []string) {
	text, _, _ = strings.Cut(text, "@")
	if _, iface, ok := strings.Cut(text, "%"); ok {
		return []string{iface}
	}
	a, err := netip.ParseAddr(text)
	switch {
	case strings.HasPrefix(text, "*"):
		return nil
	case err != nil:
		return []string{text}
	}
	for _, s := range r.sections("ip address") {
		if netip.MustParsePrefix(s.get("address")).Contains(a) {
			return []string{s.get("interface")}
		}
	}
	for _, s := range r.sections("ip route") {
		if dst := s.get("dst-address"); depth < 5 && strings.HasSuffix(dst, "/32") && within(dst, a) {
			for _, hop := range r.gateway(s.get("gateway"), depth+1) {
				if !slices.Contains(out, hop) {
					out = append(out, hop)
				}
			}
		}
	}
	return out
}

// run takes a packet through a chain.
func (r *ros) run(chain string, p packet, state outcome, first bool) outcome {
	r.chain(chain, p, &state, first)
	return state
}

// chain reports whether a rule stopped the packet.
func (r *ros) chain(chain string, p packet, state *outcome, first bool) (stopped bool) {
	for _, s := range r.sections("ip firewall mangle") {
		if !s.has("chain", chain) || !r.matches(s, p, *state, first) {
			continue
		}
		switch s.get("action") {
		case "accept":
			return true
		case "return":
			return false
		case "jump":
			if r.chain(s.get("jump-target"), p, state, first) {
				return true
			}
			continue
		case "mark-connection":
			state.connection = s.get("new-connection-mark")
		case "mark-routing":
			state.routing = s.get("new-routing-mark")
		default:
			continue
		}
		if s.has("passthrough", "no") {
			return true
		}
	}
	return false
}

func (r *ros) matches(s *statement, p packet, state outcome, first bool) bool {
	for _, a := range s.args {
		value, not := strings.CutPrefix(a.value, "!")
		var holds bool
		switch a.key {
		case "connection-mark":
			holds = state.connection == strings.TrimPrefix(value, "no-mark")
		case "connection-state":
			holds = slices.Contains(strings.Split(value, ","), map[bool]string{true: "new", false: "established"}[first])
		case "in-interface":
			holds = p.in == value
		case "src-address":
			holds = within(value, p.src)
		case "dst-address":
			holds = within(value, p.dst)
		case "src-address-list":
			holds = r.listed(value, p.src)
		case "dst-address-list":
			holds = r.listed(value, p.dst)
		case "protocol":
			holds = map[string]int{"tcp": 6, "udp": 17, "icmp": 1, "gre": 47}[value] == p.proto
		case "src-port":
			holds = ported(value, p.sport)
		case "dst-port":
			holds = ported(value, p.dport)
		case "port":
			holds = ported(value, p.sport) || ported(value, p.dport)
		case "per-connection-classifier":
			fields, rest, _ := strings.Cut(value, ":")
			n, at, _ := strings.Cut(rest, "/")
			holds = strconv.Itoa(r.buckets[fields+":"+n]) == at
		case "nth":
			n, at, _ := strings.Cut(value, ",")
			holds = strconv.Itoa(r.buckets["nth:"+n]+1) == at
		case "layer7-protocol", "content", "tls-host", "connection-bytes", "packet-mark", "tcp-flags", "random", "ttl", "invented-tomorrow":
			return false // omitted and told of
		default:
			continue
		}
		if holds == not {
			return false
		}
	}
	return true
}

func (r *ros) listed(name string, a netip.Addr) bool {
	return slices.ContainsFunc(r.sections("ip firewall address-list"),
		func(s *statement) bool { return s.has("list", name) && within(s.get("address"), a) })
}

// within reports whether an address is in a prefix, a range, or the same; empty is everywhere.
func within(text string, a netip.Addr) bool {
	if text == "" {
		return true
	}
	if lo, hi, ok := strings.Cut(text, "-"); ok {
		return !a.Less(netip.MustParseAddr(lo)) && !netip.MustParseAddr(hi).Less(a)
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked().Contains(a)
	}
	return netip.MustParseAddr(text) == a
}

func ported(text string, port int) bool {
	for part := range strings.SplitSeq(text, ",") {
		lo, hi, ok := strings.Cut(part, "-")
		if !ok {
			hi = lo
		}
		a, _ := strconv.Atoi(lo)
		b, _ := strconv.Atoi(hi)
		if port >= a && port <= b {
			return true
		}
	}
	return false
}
