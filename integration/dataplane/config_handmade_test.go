package dataplane

import (
	"fmt"
	"strings"
	"testing"
)

// keyword is what nft calls a family.
func (f family) keyword() string { return [...]string{"ip", "ip6"}[f] }

// nft returns the selector as nft matches; of one family only.
func (s *selector) nft(f family) string {
	var m []string
	if s.src[f].IsValid() {
		m = append(m, fmt.Sprintf("%s saddr %s", f.keyword(), s.src[f]))
	}
	if s.dst[f].IsValid() {
		m = append(m, fmt.Sprintf("%s daddr %s", f.keyword(), s.dst[f]))
	}
	if s.dport != 0 {
		m = append(m, fmt.Sprintf("udp dport %d", s.dport))
	}
	return strings.Join(m, " ")
}

// iptables returns the selector as iptables matches; of one family only.
func (s *selector) iptables(f family) string {
	var m []string
	if s.src[f].IsValid() {
		m = append(m, "-s "+s.src[f].String())
	}
	if s.dst[f].IsValid() {
		m = append(m, "-d "+s.dst[f].String())
	}
	if s.dport != 0 {
		m = append(m, fmt.Sprintf("-p udp -m udp --dport %d", s.dport))
	}
	return strings.Join(m, " ")
}

// ip runs a batch of ip(8) in one family.
func (r *router) ip(f family, commands ...string) {
	r.T().Helper()
	if f == v6 {
		r.IP6(commands...)
	} else {
		r.IP(commands...)
	}
}

// mostTables bounds the routing tables of routerOS: who has more handlings gives several the same
// table.
const mostTables = 32

// routerOS marks as its users do: rules that mark new connections of the LAN, then for each
// connection mark a rule that gives its packets from the LAN a routing mark. Each IP version has
// its own rules. Connections from outside get the mark of the line. What decides most packets is
// matched first.
func routerOS(t testing.TB, r *router, all []selector) {
	t.Helper()
	masquerade(t, r, all)
	tables := min(len(all), mostTables)
	for _, f := range []family{v4, v6} {
		var marks, routes strings.Builder
		for i, s := range all {
			fmt.Fprintf(&marks, "\t\tct state new iif lan ct mark 0 %s ct mark set %d\n", s.nft(f), i+1)
			fmt.Fprintf(&routes, "\t\tct mark %d iif lan meta mark set %d accept\n", i+1, i%tables+1)
		}
		r.NFT(fmt.Sprintf(`table %s mangle {
	chain prerouting {
		type filter hook prerouting priority mangle
		ct state new iif wan1 ct mark 0 ct mark set %d
		ct state new iif wan2 ct mark 0 ct mark set %d
%s%s		ct mark %d iif lan meta mark set %d accept
		ct mark %d iif lan meta mark set %d accept
	}
}
`, f.keyword(), len(all)+1, len(all)+2, marks.String(), routes.String(), len(all)+1, tables+1, len(all)+2, 1))
		var rules []string
		for i := range tables + 1 {
			device := devices[2]
			if i == tables {
				device = devices[1]
			}
			rules = append(rules,
				fmt.Sprintf("rule add priority %d fwmark %d lookup %d", 1000+i, i+1, 1000+i),
				fmt.Sprintf("route add default via %s dev %s table %d", device.far[f], device.name, 1000+i))
		}
		r.ip(f, rules...)
	}
}

// openWrt is the list of OpenWrt's pbr: every packet walks it, there are no connection marks. Both
// IP versions are in one list, two rules for a policy.
func openWrt(t testing.TB, r *router, all []selector) {
	t.Helper()
	masquerade(t, r, all)
	var rules strings.Builder
	for i, s := range all {
		for _, f := range []family{v4, v6} {
			fmt.Fprintf(&rules, "\t\t%s goto pbr_mark_0x020000 comment \"policy %d\"\n", s.nft(f), i)
		}
	}
	r.NFT(fmt.Sprintf(`table inet fw4 {
	chain pbr_mark_0x020000 {
		meta mark set meta mark & 0xff00ffff ^ 0x00020000
		return
	}
	chain pbr_prerouting {
%s	}
	chain mangle_prerouting {
		type filter hook prerouting priority mangle
		jump pbr_prerouting
	}
}
`, rules.String()))
	for _, f := range []family{v4, v6} {
		var commands []string
		for i, device := range devices[1:] {
			commands = append(commands,
				fmt.Sprintf("route add default via %s dev %s table %d", device.far[f], device.name, 256+i),
				fmt.Sprintf("rule add priority %d fwmark 0x%x/0xff0000 lookup %d", 29998-i, 0x10000*(i+1), 256+i))
		}
		r.ip(f, append(commands, "rule add priority 29000 lookup main suppress_prefixlength 1")...)
	}
}

// mwan3 is the chains and ip rules of mwan3 for two interfaces, and as many rules as there are
// selectors.
func mwan3(t testing.TB, r *router, all []selector) {
	t.Helper()
	masquerade(t, r, all)
	for _, f := range []family{v4, v6} {
		set := "mwan3_connected_" + []string{"ipv4", "ipv6"}[f]
		r.RunInput(mwan3Sets(f, set), "ipset", "restore")
		program := []string{"iptables-restore", "ip6tables-restore"}[f]
		r.RunInput(mwan3Chains(f, set, all), program)
		var commands []string
		for i, device := range devices[1:] {
			id := i + 1
			commands = append(commands,
				fmt.Sprintf("route add default via %s dev %s table %d", device.far[f], device.name, id),
				fmt.Sprintf("rule add priority %d iif %s lookup %d", 1000+id, device.name, id),
				fmt.Sprintf("rule add priority %d fwmark 0x%x/0x3f00 lookup %d", 2000+id, id<<8, id),
				fmt.Sprintf("rule add priority %d fwmark 0x%x/0x3f00 unreachable", 3000+id, id<<8))
			// a table of mwan3 has main's routes that are no default
			for _, d := range devices {
				commands = append(commands, fmt.Sprintf("route add %s dev %s table %d", d.network(f), d.name, id))
			}
			commands = append(commands, fmt.Sprintf("route add %s via %s dev %s table %d", clients[f], devices[0].far[f], lan, id))
		}
		r.ip(f, append(commands,
			"rule add priority 2061 fwmark 0x3d00/0x3f00 blackhole",
			"rule add priority 2062 fwmark 0x3e00/0x3f00 unreachable")...)
	}
}

func mwan3Sets(f family, set string) string {
	var t strings.Builder
	fmt.Fprintf(&t, "create %s hash:net family %s\n", set, []string{"inet", "inet6"}[f])
	for _, d := range devices {
		fmt.Fprintf(&t, "add %s %s/%d\n", set, d.router[f], d.bits[f])
	}
	// clients behind a router in the LAN are in main's routes, too
	fmt.Fprintf(&t, "add %s %s\n", set, clients[f])
	return t.String()
}

func mwan3Chains(f family, set string, all []selector) string {
	const unmarked = "-m mark --mark 0x0/0x3f00"
	var t strings.Builder
	t.WriteString("*mangle\n:mwan3_hook - [0:0]\n:mwan3_ifaces_in - [0:0]\n:mwan3_connected - [0:0]\n" +
		":mwan3_rules - [0:0]\n:mwan3_policy_wan2 - [0:0]\n")
	add := func(format string, a ...any) { fmt.Fprintf(&t, "-A "+format+"\n", a...) }
	if f == v6 {
		for kind := 133; kind <= 137; kind++ {
			add("mwan3_hook -p ipv6-icmp -m icmp6 --icmpv6-type %d -j RETURN", kind)
		}
	}
	add("PREROUTING -j mwan3_hook")
	add("OUTPUT -j mwan3_hook")
	add("mwan3_hook %s -j CONNMARK --restore-mark --nfmask 0x3f00 --ctmask 0x3f00", unmarked)
	add("mwan3_hook %s -j mwan3_ifaces_in", unmarked)
	add("mwan3_hook %s -j mwan3_connected", unmarked)
	add("mwan3_hook %s -j mwan3_rules", unmarked)
	add("mwan3_hook -j CONNMARK --save-mark --nfmask 0x3f00 --ctmask 0x3f00")
	add("mwan3_hook -m mark ! --mark 0x3f00/0x3f00 -j mwan3_connected")
	add("mwan3_connected -m set --match-set %s dst -j MARK --set-xmark 0x3f00/0x3f00", set)
	for i, device := range devices[1:] {
		fmt.Fprintf(&t, ":mwan3_iface_in_%s - [0:0]\n", device.name)
		add("mwan3_ifaces_in %s -j mwan3_iface_in_%s", unmarked, device.name)
		add("mwan3_iface_in_%s -i %s -m set --match-set %s src %s -j MARK --set-xmark 0x3f00/0x3f00", device.name,
			device.name, set, unmarked)
		add("mwan3_iface_in_%s -i %s %s -j MARK --set-xmark 0x%x/0x3f00", device.name, device.name, unmarked, (i+1)<<8)
	}
	add("mwan3_policy_wan2 %s -j MARK --set-xmark 0x200/0x3f00", unmarked)
	for i, s := range all {
		add("mwan3_rules %s %s -m comment --comment rule-%d -j mwan3_policy_wan2", s.iptables(f), unmarked, i)
	}
	t.WriteString("COMMIT\n")
	return t.String()
}
