package mwan3

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/from"
	"pbr/compiler/sorting"
)

// target is what a policy of mwan3's leads to: a table by metrics, or a balance by weights.
type target struct {
	by      *section
	members []member
	table   *from.Table
	// strict reports that nothing else is used when no member can be.
	strict bool
	// balances are those that rules made of it, by sticky time.
	balances map[string]*from.Balance
	objects  []string
}

// member is an uplink with what a policy says of it.
type member struct {
	u              *uplink
	s              *section
	version        int
	metric, weight int
}

const noMember = "none of its members is an interface that is enabled"

// account tells a policy's section, and its members, what they became.
func (t *target) account() {
	for _, object := range t.objects {
		t.by.Import(object)
		for _, m := range t.members {
			m.s.Import(object)
		}
	}
	switch {
	case len(t.objects) > 0 || t.by.Accounted():
	case len(t.members) == 0:
		t.by.DropSevere(noMember)
	default:
		t.by.Drop("no rule uses it")
	}
}

// buildPolicy reads the members of a policy.
func (b *builder) buildPolicy(s *section) {
	t := &target{by: s, balances: map[string]*from.Balance{}}
	for _, name := range s.all("use_member") {
		m := b.members[name]
		switch {
		case m == nil:
			s.Change("there is no member '" + name + "'")
			continue
		case b.interfaces[m.get("interface", "")] == nil:
			m.DropSevere("there is no interface '" + m.get("interface", "") + "'")
			continue
		case b.uplinks[m.get("interface", "")] == nil:
			m.Disable()
			continue
		}
		i := m.get("interface", "")
		t.members = append(t.members, member{u: b.uplinks[i], s: m, version: version(b.interfaces[i]),
			metric: m.number("metric", 1, 1, 256), weight: m.number("weight", 1, 1, 1000)})
	}
	switch last := s.get("last_resort", "unreachable"); last {
	case "default":
	case "unreachable":
		t.strict = true
	case "blackhole":
		t.strict = true
		s.Change("last_resort blackhole: senders get an ICMP unreachable error (strict)")
	default:
		t.strict = true
		s.Change("last_resort " + last + " is not known: it counts as unreachable")
	}
	b.targets[s.name] = t
}

// even reports whether a policy only shares by weight: all members of a version have one metric,
// and there are several uplinks.
func (t *target) even() bool {
	several := false
	for _, m := range t.members {
		if m.metric != t.members[0].metric {
			return false
		}
		several = several || m.u != t.members[0].u
	}
	return several
}

// asTable makes the table of a policy by metrics.
func (b *builder) asTable(t *target) *from.Table {
	if t.table != nil {
		return t.table
	}
	t.table = &from.Table{Name: b.names.Give(t.by.name), Strict: t.strict, Origins: []from.Origin{b.origin(t.by)}}
	shared := false
	for i, m := range t.members {
		for _, o := range t.members[:i] {
			shared = shared || o.metric == m.metric && o.version == m.version && o.u != m.u
		}
	}
	members := slices.Clone(t.members)
	sorting.Func(members, func(x, y member) int { return x.metric - y.metric })
	for v := range 2 {
		for _, m := range members {
			if m.version == v {
				weight := 0
				if shared {
					weight = max(1, (m.weight+t.divisor()/2)/t.divisor())
				}
				addWay(t.table, m.u, v, m.metric, weight)
			}
		}
	}
	if shared {
		t.by.Change("members of one metric among others share their connections by the kernel's hash of addresses, not by chance")
	}
	if !t.strict {
		b.fallBack(t.table, members[len(members)-1].metric)
	}
	b.draft.Tables = append(b.draft.Tables, t.table)
	t.objects = append(t.objects, "table "+t.table.Name)
	return t.table
}

// fallBack adds default's routes behind a table's own, as last_resort default does.
func (b *builder) fallBack(t *from.Table, far int) {
	if b.draft.Default == nil {
		return
	}
	for _, r := range b.draft.Default.Routes {
		if !slices.ContainsFunc(t.Routes, func(o from.Route) bool { return o.Uplink == r.Uplink }) {
			r.Distance, r.Comment = far+r.Distance, "last_resort default"
			t.Routes = append(t.Routes, r)
		}
	}
}

// mostWeight is the largest weight of a route or member.
const mostWeight = 256

// asBalance makes the balance of a policy by weights; each sticky time has its own.
func (b *builder) asBalance(t *target, sticky string, rule *section) *from.Balance {
	key := sticky
	if sticky != "" {
		key += rule.name // what is remembered is the rule's
	}
	if have := t.balances[key]; have != nil {
		return have
	}
	name := t.by.name
	if sticky != "" {
		name += "-" + rule.name
	}
	bal := &from.Balance{Name: b.names.Give(name), Method: "random", Sticky: sticky, Origins: []from.Origin{b.origin(t.by)}}
	weights := map[*uplink]int{}
	divisor := t.divisor()
	for _, m := range t.members {
		w := max(1, (m.weight+divisor/2)/divisor)
		if have, ok := weights[m.u]; ok {
			if have != w {
				m.s.Change("a member has one weight for both IP versions: that of IPv4")
			}
			continue
		}
		weights[m.u] = w
		bal.Members = append(bal.Members, from.Member{Uplink: m.u.Name, Weight: w})
	}
	for _, u := range b.lines {
		for v := range 2 {
			if weights[u] > 0 && u.carries[v] &&
				!slices.ContainsFunc(t.members, func(m member) bool { return m.u == u && m.version == v }) {
				t.by.Change(fmt.Sprintf("uplink %s is a member for both IP versions", u.Name))
			}
		}
	}
	t.balances[key] = bal
	b.draft.Balances = append(b.draft.Balances, bal)
	t.objects = append(t.objects, "balance "+bal.Name)
	return bal
}

// divisor makes weights fit.
func (t *target) divisor() int {
	largest := 1
	for _, m := range t.members {
		largest = max(largest, m.weight)
	}
	return (largest + mostWeight - 1) / mostWeight
}

// buildRule makes policies of a rule: one for what is forwarded, one for the router itself.
func (b *builder) buildRule(r *section) {
	if r.get("enabled", "1") == "0" {
		r.Disable()
		return
	}
	keys, why := b.selectors(r)
	if why != "" {
		r.DropSevere(why)
		return
	}
	to, strict, why := b.target(r)
	if why != "" {
		r.DropSevere(why)
		return
	}
	iface := r.get("src_iface", "")
	name := r.name
	for _, local := range []bool{false, true} {
		if local && iface != "" {
			break
		}
		if local {
			name += "-local"
		}
		p := &from.Policy{Name: b.policyNames.Give(name), Target: to, Log: r.get("logging", "0") == "1",
			Origins: []from.Origin{b.origin(r)}}
		switch {
		case local:
			p.Keys = append(p.Keys, from.Key{Name: "from", Value: from.Quote("local")})
		case iface != "":
			device, why := b.networkDevice(iface, 0)
			if why != "" {
				r.Change(why)
			}
			p.Keys = append(p.Keys, from.Key{Name: "from", Value: from.Quote(b.device(device))})
		}
		p.Keys = append(p.Keys, keys...)
		if strict {
			p.Keys = append(p.Keys, from.Key{Name: "strict", Value: "true"})
		}
		b.draft.Policies = append(b.draft.Policies, p)
		r.Import("policy " + p.Name)
	}
}

// target is where a rule leads.
func (b *builder) target(r *section) (to from.Key, strict bool, why string) {
	name := r.get("use_policy", "")
	switch name {
	case "default":
		return from.Key{Name: "default", Value: "true"}, false, ""
	case "unreachable":
		return action("unreachable"), false, ""
	case "blackhole":
		return action("drop"), false, ""
	}
	t := b.targets[name]
	switch {
	case t == nil:
		return to, false, "there is no policy '" + name + "'"
	case len(t.members) == 0 && t.strict:
		if len(t.objects) == 0 {
			t.by.Change(noMember + ": what its rules catch is unreachable, as its last_resort says")
			t.objects = []string{"action = \"unreachable\""}
		}
		return action("unreachable"), false, ""
	case len(t.members) == 0:
		if len(t.objects) == 0 {
			t.by.Change(noMember + ": what its rules catch goes to default, as its last_resort says")
			t.objects = []string{"default"}
		}
		return from.Key{Name: "default", Value: "true"}, false, ""
	}
	if !t.even() {
		if r.get("sticky", "0") == "1" {
			r.Merge("a policy by metrics has one way at a time: there is nothing to keep")
		}
		return from.Key{Name: "table", Value: from.Quote(b.asTable(t).Name)}, false, ""
	}
	sticky := ""
	if r.get("sticky", "0") == "1" {
		sticky = seconds(r.number("timeout", 600, 1, 49*86400))
	}
	return from.Key{Name: "balance", Value: from.Quote(b.asBalance(t, sticky, r).Name)}, t.strict, ""
}

func action(name string) from.Key { return from.Key{Name: "action", Value: from.Quote(name)} }

// selectors are what a rule selects by.
func (b *builder) selectors(r *section) (keys []from.Key, why string) {
	ipv := map[string]int{"ipv4": 4, "ipv6": 6}[r.get("family", "any")]
	for _, k := range r.keys {
		switch k {
		case "src_ip", "dest_ip", "src_port", "dest_port", "proto", "family", "use_policy", "sticky", "timeout",
			"logging", "enabled", "src_iface":
		case "ipset":
			return nil, "the set " + r.get(k, "") + " is filled by others (dnsmasq, scripts): make a list of it and name that"
		default:
			if r.get(k, "") != "" {
				return nil, "a policy cannot select by " + k
			}
		}
	}
	for _, k := range []string{"src_ip", "dest_ip"} {
		values, why := addresses(r.all(k))
		if why != "" {
			return nil, k + ": " + why
		}
		if len(values) > 0 {
			keys = append(keys, from.Key{Name: map[string]string{"src_ip": "src", "dest_ip": "dst"}[k], Value: from.Strings(values)})
		}
	}
	proto := strings.ToLower(r.get("proto", "all"))
	for _, k := range []string{"src_port", "dest_port"} {
		values, ok := portList(r.get(k, ""))
		switch {
		case !ok:
			return nil, k + " cannot be read"
		case len(values) == 0:
		case proto != "tcp" && proto != "udp":
			r.Change(k + " is left out, as mwan3 does where proto is neither tcp nor udp")
		default:
			keys = append(keys, from.Key{Name: map[string]string{"src_port": "sport", "dest_port": "dport"}[k],
				Value: from.Numbers(values)})
		}
	}
	if proto != "all" && proto != "any" {
		if !knownProto(proto) {
			return nil, "the protocol " + proto + " is not known"
		}
		keys = append(keys, from.Key{Name: "proto", Value: from.Quote(proto)})
	}
	if ipv != 0 {
		keys = append(keys, from.Key{Name: "ipv", Value: strconv.Itoa(ipv)})
	}
	return keys, ""
}

// protos are the protocols that a policy knows by mwan3's names.
var protos = []string{"tcp", "udp", "icmp", "esp", "ah", "gre", "sctp", "igmp"}

func knownProto(p string) bool {
	n, err := strconv.Atoi(p)
	return slices.Contains(protos, p) || err == nil && n >= 0 && n < 256
}

// addresses reads addresses and prefixes; everywhere is not a selector.
func addresses(values []string) (out []string, why string) {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			text, not := strings.CutPrefix(strings.TrimSpace(part), "!")
			text = strings.TrimSpace(text)
			p, err := netip.ParsePrefix(text)
			if err != nil {
				a, err := netip.ParseAddr(text)
				if err != nil {
					return nil, fmt.Sprintf("invalid address %q", text)
				}
				p = netip.PrefixFrom(a, a.BitLen())
			}
			if p = p.Masked(); p.Addr().Is4In6() || p.Addr().Zone() != "" {
				return nil, fmt.Sprintf("invalid address %q", text)
			}
			if p.Bits() == 0 {
				if not {
					return nil, "it excludes every address"
				}
				continue
			}
			text = p.String()
			if p.IsSingleIP() {
				text = p.Addr().String()
			}
			if not {
				text = "!" + text
			}
			out = append(out, text)
		}
	}
	return out, ""
}

// portList reads ports as iptables' multiport has them: 80,443,1000:2000.
func portList(text string) (out []string, ok bool) {
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		lo, hi, isRange := strings.Cut(strings.ReplaceAll(part, "-", ":"), ":")
		a, err1 := strconv.Atoi(lo)
		b, err2 := a, err1
		if isRange {
			b, err2 = strconv.Atoi(hi)
		}
		if err1 != nil || err2 != nil || a < 1 || b > 65535 || a > b {
			return nil, false
		}
		if a == b {
			out = append(out, strconv.Itoa(a))
		} else {
			out = append(out, fmt.Sprintf("%d-%d", a, b))
		}
	}
	return out, true
}
