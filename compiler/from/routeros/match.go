package routeros

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/lazy"
)

// guard is what a rule asks of the connection mark.
type guard struct {
	asked, not bool
	// mark is empty for connections without one.
	mark string
}

// holds reports whether a connection with that mark passes.
func (g guard) holds(mark string) bool { return !g.asked || (g.mark == mark) != g.not }

// matched is what the matchers of a rule say.
type matched struct {
	guard guard
	// alts are conditions of which one has to hold.
	alts []*cond
	// established reports whether packets of running connections pass, fresh whether first ones do.
	fresh, established bool
	// inbound reports whether only packets that arrive on an uplink pass.
	inbound bool
	// impossible says why no packet passes.
	impossible string
	// unknown says what no policy can select by.
	unknown string
}

// actions are keys of a rule that select nothing.
var actions = lazy.Value[map[string]bool]{Make: func() map[string]bool {
	return map[string]bool{"action": true, "chain": true, "comment": true, "disabled": true, "passthrough": true, "log-prefix": true,
		"new-connection-mark": true, "new-routing-mark": true, "new-packet-mark": true, "new-dscp": true, "new-ttl": true,
		"new-mss": true, "new-priority": true,
		"jump-target": true, "address-list": true, "address-list-timeout": true, "to-addresses": true,
		"to-ports": true, "place-before": true,
		"hw-offload": true, "sniff-id": true, "sniff-target": true, "sniff-target-port": true, "same-not-by-dst": true, "route-dst": true}
}}

// matcher reads the matchers of one rule.
type matcher struct {
	c    *config
	out  matched
	cond *cond
	// either holds ports that may be at either end.
	either []string
	local  bool
}

// match reads a rule's matchers; local is for the router's own packets.
func (c *config) match(s *statement, local bool) matched {
	m := &matcher{c: c, cond: &cond{ipv: 4}, local: local}
	m.out.fresh, m.out.established = true, true
	if strings.HasPrefix(s.section, "ipv6") {
		m.cond.ipv = 6
	}
	if local {
		m.cond.keys[keyFrom] = &sel{pos: []string{"local"}}
	}
	for _, a := range s.args {
		if a.value != "" && !actions.Get()[a.key] {
			m.key(a.key, a.value)
		}
	}
	m.checkPorts()
	if m.either != nil {
		other := *m.cond
		m.cond.keys[keyDPort], other.keys[keySPort] = &sel{pos: m.either}, &sel{pos: m.either}
		m.out.alts = []*cond{m.cond, &other}
	} else {
		m.out.alts = []*cond{m.cond}
	}
	return m.out
}

// checkPorts wants a protocol that has ports, as RouterOS does.
func (m *matcher) checkPorts() {
	if m.either == nil && m.cond.keys[keySPort] == nil && m.cond.keys[keyDPort] == nil {
		return
	}
	proto := m.cond.keys[keyProto]
	if proto == nil || len(proto.pos) == 0 || !slices.Contains(portProtocols, proto.pos[0]) {
		m.unknownKey("ports without a protocol that has them are nothing that RouterOS takes")
	}
}

// unknownKey means that no policy can select by a matcher.
func (m *matcher) unknownKey(format string, args ...any) {
	if m.out.unknown == "" {
		m.out.unknown = fmt.Sprintf(format, args...)
	}
}

// add narrows one key.
func (m *matcher) add(k key, s *sel) {
	s, j := m.cond.keys[k].and(s, k, m.c.lists)
	switch j {
	case never:
		m.out.impossible = "its matchers exclude each other"
	case unjoinable:
		m.unknownKey("its matchers cannot be joined in one policy")
	default:
		m.cond.keys[k] = s
	}
}

// negatable is a selector of values, all of which "!" negates.
func negatable(not bool, values []string) *sel {
	if not {
		return &sel{neg: values}
	}
	return &sel{pos: values}
}

func (m *matcher) key(key, value string) {
	text, not := strings.CutPrefix(value, "!")
	switch key {
	case "connection-mark":
		m.out.guard = guard{asked: true, not: not, mark: strings.TrimPrefix(text, "no-mark")}
		if text != "no-mark" {
			m.out.guard.mark = text
		}
	case "connection-state":
		m.state(not, commas(text))
	case "in-interface":
		m.from(not, []string{text}, key)
	case "in-interface-list":
		m.fromList(not, text)
	case "src-address", "dst-address":
		m.address(keyOf(key), not, text)
	case "src-address-list", "dst-address-list":
		m.list(keyOf(strings.TrimSuffix(key, "-list")), not, text)
	case "dst-address-type":
		m.dstType(value)
	case "protocol":
		m.protocol(not, text)
	case "src-port", "dst-port", "port":
		m.ports(key, not, text)
	case "dscp":
		m.plain(keyDSCP, key, not, text)
	case "src-mac-address":
		m.plain(keyMAC, key, not, strings.ToLower(text))
		if m.local {
			m.unknownKey("%s does not go with the router's own packets", key)
		}
	case "icmp-options":
		m.icmp(not, text)
	case "per-connection-classifier":
		m.pcc(not, text)
	case "nth":
		m.nth(not, text)
	case "log":
		m.cond.log = value == "yes"
	case "time":
		m.times(not, text)
	case "routing-mark":
		m.unknownKey("a policy cannot select by %s=%s: it decides on the first packet, which has no mark yet", key, value)
	default:
		m.unknownKey("a policy cannot select by %s", key)
	}
}

func keyOf(name string) key {
	if strings.HasPrefix(name, "src") {
		return keySrc
	}
	return keyDst
}

// plain is a key whose values cannot be negated.
func (m *matcher) plain(k key, name string, not bool, text string) {
	if not {
		m.unknownKey("a policy cannot negate %s", name)
		return
	}
	if n, err := strconv.Atoi(text); k == keyDSCP && (err != nil || n < 0 || n > 63) {
		m.unknownKey("%s=%s cannot be read", name, text)
		return
	}
	m.add(k, &sel{pos: []string{text}})
}

// state splits the rule into what it does with first packets and with later ones. Packets of
// related connections are first ones here too, but who names related means replies.
func (m *matcher) state(not bool, states []string) {
	has := func(s string) bool { return slices.Contains(states, s) != not }
	m.out.fresh = m.out.fresh && has("new")
	m.out.established = m.out.established && has("established")
}

// from selects by the interface that packets arrive on. By uplinks nothing is classified.
func (m *matcher) from(not bool, names []string, key string) {
	var inside []string
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "*"):
			m.unknownKey("the interface %s was deleted on the router", name)
			return
		case strings.HasPrefix(name, "all-") || name == "dynamic":
			m.unknownKey("a policy cannot select by %s=%s: name the interfaces", key, name)
			return
		}
		if iface := m.c.iface(name); !m.c.isUplink(iface) && !slices.Contains(inside, iface) {
			inside = append(inside, iface)
		}
	}
	m.fromInside(not, inside)
}

// fromInside selects by interfaces that are no uplinks.
func (m *matcher) fromInside(not bool, inside []string) {
	switch {
	case m.local && not:
	case m.local:
		m.out.impossible = "the router's own packets arrive on no interface"
	case len(inside) > 0:
		m.add(keyFrom, negatable(not, inside))
	case !not:
		m.out.inbound = true
	}
}

func (m *matcher) fromList(not bool, name string) {
	if name == "all" && !not {
		return
	}
	members, ok := m.c.members(name, 0)
	if !ok {
		m.unknownKey("the interface list %s has no members that can be named", name)
		return
	}
	inside := slices.DeleteFunc(members, m.c.isUplink)
	m.fromInside(not, inside)
}

func (m *matcher) address(k key, not bool, text string) {
	spelled, six, ok := addressText(text)
	switch {
	case !ok:
		m.unknownKey("the address %s cannot be read", text)
	case six != (m.cond.ipv == 6):
		m.unknownKey("the address %s is of the other IP version", text)
	case spelled == "0.0.0.0/0" || spelled == "::/0":
		if not {
			m.out.impossible = "it excludes every address"
		}
	default:
		m.add(k, negatable(not, []string{spelled}))
	}
}

// list selects by an address list. One whose members nobody knows makes the rule unknown, unless
// the rules of the lists of users fill it, which becomes a balance's sticky.
func (m *matcher) list(k key, not bool, name string) {
	l := m.c.lists[name]
	switch {
	case len(m.c.learned[name]) > 0 && l == nil && k == keySrc:
	case len(m.c.learned[name]) > 0:
		m.unknownKey("the address list %s is filled while the router runs", name)
		return
	case l == nil:
		m.unknownKey("the address list %s has no entries in the export: whether anything fills it, it does not say", name)
		return
	case not && l.partial != "":
		m.unknownKey("the address list %s has %s that is left out, and this rule is for what is not in the list", name, l.partial)
		return
	case len(l.entries) == 0:
		m.unknownKey("nothing of the address list %s was carried over", name)
		return
	}
	m.add(k, negatable(not, []string{"@" + name}))
}

// dstType knows the destinations that pbr never classifies.
func (m *matcher) dstType(value string) {
	for _, v := range commas(value) {
		switch v {
		case "!local", "!broadcast", "!multicast":
			continue
		case "local", "broadcast", "multicast":
			if len(commas(value)) == 1 {
				m.out.impossible = "pbr leaves packets to the router itself, broadcasts and multicasts alone"
				return
			}
		}
		if !strings.HasPrefix(value, "!") || strings.Contains(v, "unicast") || strings.Contains(v, "blackhole") {
			m.unknownKey("a policy cannot select by dst-address-type=%s", value)
			return
		}
	}
}

// protocols are RouterOS's names, by the policy file's.
var protocols = lazy.Value[map[string]string]{Make: func() map[string]string {
	return map[string]string{"tcp": "tcp", "udp": "udp", "icmp": "icmp", "icmpv6": "icmpv6", "gre": "gre",
		"ipsec-esp": "esp", "ipsec-ah": "ah",
		"ipencap": "4", "ipip": "94", "igmp": "igmp", "ospf": "ospf", "vrrp": "vrrp", "pim": "pim", "l2tp": "l2tp",
		"sctp": "sctp", "dccp": "dccp", "udp-lite": "udplite",
		"egp": "8", "ggp": "3", "hmp": "20", "idpr-cmtp": "38", "iso-tp4": "29", "pup": "12", "rdp": "27", "rspf": "73",
		"rsvp": "46", "st": "5", "vmtp": "81",
		"xns-idp": "22", "xtp": "36", "ddp": "37", "encap": "98", "etherip": "97", "ipv6-encap": "41", "ipv6": "41"}
}}

func (m *matcher) protocol(not bool, text string) {
	name, ok := protocols.Get()[text]
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n < 256 {
		name, ok = protocolNumber(n), true
	}
	if text == "icmp" && m.cond.ipv == 6 {
		name = "icmpv6"
	}
	if !ok {
		m.unknownKey("the protocol %s is not known", text)
		return
	}
	m.add(keyProto, negatable(not, []string{name}))
}

func protocolNumber(n int) string {
	for number, name := range map[int]string{1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 51: "ah", 58: "icmpv6", 132: "sctp"} {
		if n == number {
			return name
		}
	}
	return strconv.Itoa(n)
}

func (m *matcher) ports(key string, not bool, text string) {
	var ports []string
	for _, p := range commas(text) {
		lo, hi, isRange := strings.Cut(p, "-")
		a, err1 := strconv.Atoi(lo)
		b, err2 := strconv.Atoi(hi)
		if !isRange {
			b, err2 = a, nil
		}
		if err1 != nil || err2 != nil || a < 0 || b > 65535 || a > b {
			m.unknownKey("%s=%s cannot be read", key, text)
			return
		}
		if a = max(a, 1); b >= a {
			ports = append(ports, spanText(portAddr(a), portAddr(b), keyDPort))
		}
	}
	switch {
	case len(ports) == 0:
		m.unknownKey("%s=%s cannot be read", key, text)
	case key == "src-port":
		m.add(keySPort, negatable(not, ports))
	case key == "dst-port":
		m.add(keyDPort, negatable(not, ports))
	case not:
		m.add(keySPort, negatable(true, ports))
		m.add(keyDPort, negatable(true, ports))
	case m.cond.keys[keySPort] != nil || m.cond.keys[keyDPort] != nil:
		m.unknownKey("port beside src-port or dst-port cannot be joined in one policy")
	default:
		m.either = ports
	}
}

// icmp reads TYPE:CODES. A policy selects by the type alone.
func (m *matcher) icmp(not bool, text string) {
	kind, codes, _ := strings.Cut(text, ":")
	n, err := strconv.Atoi(kind)
	single := kind == "8" || kind == "0" // these have the code 0 alone
	if not || err != nil || n < 0 || n > 255 || codes != "" && codes != "0-255" && !(single && codes == "0") &&
		!(m.cond.ipv == 6 && codes == "0" && n >= 128) {
		m.unknownKey("a policy cannot select by icmp-options=%s", text)
		return
	}
	m.add(keyICMP, &sel{pos: []string{kind}})
	m.add(keyProto, &sel{pos: []string{map[int]string{4: "icmp", 6: "icmpv6"}[m.cond.ipv]}})
}
