package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/ipproto"
	"pbr/compiler/lazy"
)

// numberKind is a kind of number that the file may also write by name.
type numberKind struct {
	// what names it in messages, as "port".
	what      string
	low, high uint32
	names     *lazy.Value[map[string]uint32]
	// ranges says that "LOW-HIGH" is allowed.
	ranges bool
	hint   string
}

// byName has the numbers that have names.
func (k *numberKind) byName() map[string]uint32 {
	if k.names == nil {
		return nil
	}
	return k.names.Get()
}

// parse reads a number, a name, or a range.
func (k *numberKind) parse(v string) (low, high uint32, f *fault) {
	if isNumber(v) {
		n, f := k.number(v)
		return n, n, f
	}
	if n, ok := k.byName()[strings.ToLower(v)]; ok {
		return n, n, nil
	}
	from, to, isRange := strings.Cut(v, "-")
	if isRange && isNumber(strings.TrimSpace(from)) && isNumber(strings.TrimSpace(to)) {
		if !k.ranges {
			return 0, 0, badValue("write the numbers one by one", "a range of %ss is not possible here", k.what)
		}
		if low, f = k.number(strings.TrimSpace(from)); f != nil {
			return 0, 0, f
		}
		if high, f = k.number(strings.TrimSpace(to)); f != nil {
			return 0, 0, f
		}
		if high < low {
			return 0, 0, badValue(fmt.Sprintf("write \"%d-%d\"", high, low), "the range %q ends before it starts", v)
		}
		return low, high, nil
	}
	hint := k.hint
	if several := k.several(v); several != "" {
		return 0, 0, badValue("write "+several, "invalid %s %q", k.what, v)
	}
	if names := k.byName(); len(names) > 0 {
		if near := suggest(v, slices.Sorted(maps.Keys(names))); strings.HasPrefix(near, "did") {
			hint = near
		}
	}
	return 0, 0, badValue(hint, "invalid %s %q", k.what, v)
}

// several writes numbers, names and ranges that stand in one text as an array, empty if they are
// none.
func (k *numberKind) several(v string) string {
	parts := strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
	if len(parts) < 2 || k.names == nil && !k.ranges {
		return ""
	}
	for i, part := range parts {
		if _, _, f := k.parse(part); f != nil {
			return ""
		}
		if !isNumber(part) {
			parts[i] = strconv.Quote(part)
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// number reads one number, decimal or hexadecimal.
func (k *numberKind) number(v string) (uint32, *fault) {
	base := 10
	digits := v
	if rest, ok := strings.CutPrefix(v, "0x"); ok {
		base, digits = 16, rest
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil || n < uint64(k.low) || n > uint64(k.high) {
		return 0, badValue(fmt.Sprintf("must be %d to %d", k.low, k.high), "invalid %s %q", k.what, v)
	}
	return uint32(n), nil
}

// The kinds of numbers.
var (
	portKind = &numberKind{what: "port", low: 1, high: 65535, names: &services, ranges: true,
		hint: "write a number, a range as 5060-5061, or the name of a well-known service"}
	protoKind = &numberKind{what: "protocol", low: 0, high: 255, names: &protocols,
		hint: "write tcp, udp, icmp, icmpv6, sctp, ..., or a number from 0 to 255; leave proto out for any"}
	dscpKind = &numberKind{what: "DSCP", low: 0, high: 63, names: &dscps, ranges: true,
		hint: "write ef, cs0 to cs7, af11 to af43, be, le, va, or a number from 0 to 63"}
	tosKind = &numberKind{what: "TOS", low: 0, high: 255, hint: "write a number from 0 to 255, as 0x10"}
	uidKind = &numberKind{what: "uid", low: 0, high: 4294967294, ranges: true,
		hint: "write a number, a range as 1000-1999, or a user's name"}
	gidKind = &numberKind{what: "gid", low: 0, high: 4294967294, ranges: true,
		hint: "write a number, a range as 1000-1999, or a group's name"}
	icmpKind = &numberKind{what: "ICMP type", low: 0, high: 255, hint: "write a name as echo-request, or a number from 0 to 255"}
)

// protocols are IP protocol numbers by name (IANA protocol-numbers; /etc/protocols' names).
var protocols = lazy.Value[map[string]uint32]{Make: func() map[string]uint32 {
	return map[string]uint32{
		"icmp": 1, "igmp": 2, "ipip": 4, "ipencap": 4, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "sit": 41,
		"rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "ipv6-icmp": 58, "eigrp": 88, "ospf": 89, "ospfigp": 89,
		"etherip": 97, "pim": 103, "ipcomp": 108, "vrrp": 112, "carp": 112, "l2tp": 115, "sctp": 132, "udplite": 136,
	}
}}

// hasPorts reports whether a protocol's header starts with source and destination port.
func hasPorts(proto uint32) bool {
	switch proto {
	case ipproto.TCP, ipproto.UDP, ipproto.DCCP, ipproto.SCTP, ipproto.UDPLite:
		return true
	}
	return false
}

// protoFamilies returns the IP versions that a protocol is of.
func protoFamilies(proto uint32) families {
	switch proto {
	case ipproto.ICMP, ipproto.IGMP:
		return only4
	case ipproto.ICMPv6:
		return only6
	}
	return both
}

// dscps are code points by name (RFC 2474, 2597, 3246, 5865, 8622).
var dscps = lazy.Value[map[string]uint32]{Make: func() map[string]uint32 {
	return map[string]uint32{
		"be": 0, "default": 0, "df": 0, "le": 1, "va": 44, "voice-admit": 44, "ef": 46,
		"cs0": 0, "cs1": 8, "cs2": 16, "cs3": 24, "cs4": 32, "cs5": 40, "cs6": 48, "cs7": 56,
		"af11": 10, "af12": 12, "af13": 14, "af21": 18, "af22": 20, "af23": 22,
		"af31": 26, "af32": 28, "af33": 30, "af41": 34, "af42": 36, "af43": 38,
	}
}}

// services are ports by name (IANA service-names-port-numbers, the ones people write).
var services = lazy.Value[map[string]uint32]{Make: func() map[string]uint32 {
	return map[string]uint32{
		"ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "dns": 53, "bootps": 67, "bootpc": 68, "tftp": 69,
		"http": 80, "www": 80, "kerberos": 88, "pop3": 110, "sunrpc": 111, "nntp": 119, "ntp": 123, "imap": 143, "imap2": 143,
		"snmp": 161, "snmp-trap": 162, "bgp": 179, "irc": 194, "ldap": 389, "https": 443, "microsoft-ds": 445, "isakmp": 500, "syslog": 514,
		"dhcpv6-client": 546, "dhcpv6-server": 547, "rtsp": 554, "nntps": 563, "submissions": 465, "submission": 587, "ipp": 631,
		"ldaps": 636, "domain-s": 853, "rsync": 873, "ftps": 990, "imaps": 993, "pop3s": 995, "socks": 1080, "openvpn": 1194,
		"ms-sql-s": 1433, "l2f": 1701, "l2tp": 1701, "pptp": 1723, "radius": 1812, "radius-acct": 1813, "mqtt": 1883, "nfs": 2049,
		"stun": 3478, "turn": 3478, "mysql": 3306, "ms-wbt-server": 3389, "ipsec-nat-t": 4500, "sip": 5060, "sips": 5061,
		"xmpp-client": 5222, "xmpp-server": 5269, "mdns": 5353, "postgresql": 5432, "x11": 6000, "redis": 6379, "http-alt": 8080,
		"secure-mqtt": 8883, "git": 9418, "wireguard": 51820,
	}
}}

// groups are the gids that Debian fixes for every machine (package base-passwd, group.master), as
// far as they are of daemons.
var groups = lazy.Value[map[string]uint32]{Make: func() map[string]uint32 {
	return map[string]uint32{
		"root": 0, "daemon": 1, "bin": 2, "sys": 3, "adm": 4, "tty": 5, "disk": 6, "lp": 7, "mail": 8, "news": 9,
		"uucp": 10, "man": 12, "proxy": 13,
		"dialout": 20, "sudo": 27, "backup": 34, "operator": 37, "list": 38, "irc": 39, "src": 40, "staff": 50,
		"games": 60, "users": 100, "www-data": 33,
		"nogroup": 65534,
	}
}}

// users are the uids that Debian fixes for every machine (package base-passwd, passwd.master).
var users = lazy.Value[map[string]uint32]{Make: func() map[string]uint32 {
	return map[string]uint32{
		"root": 0, "daemon": 1, "bin": 2, "sys": 3, "sync": 4, "games": 5, "man": 6, "lp": 7, "mail": 8, "news": 9, "uucp": 10,
		"proxy": 13, "www-data": 33, "backup": 34, "list": 38, "irc": 39, "_apt": 42, "nobody": 65534,
	}
}}

// icmp4 are ICMP types by name (RFC 792, 950, 1256; nft's names).
var icmp4 = lazy.Value[map[string]uint32]{Make: func() map[string]uint32 {
	return map[string]uint32{
		"echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
		"router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
		"timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
		"address-mask-request": 17, "address-mask-reply": 18,
	}
}}

// icmp6 are ICMPv6 types by name (RFC 4443, 4861, 2710, 3810; nft's names, and ICMP's where they
// mean the same).
var icmp6 = lazy.Value[map[string]uint32]{Make: func() map[string]uint32 {
	return map[string]uint32{
		"destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
		"echo-request": 128, "echo-reply": 129,
		"mld-listener-query": 130, "mld-listener-report": 131, "mld-listener-done": 132, "router-solicitation": 133,
		"router-advertisement": 134, "neighbour-solicitation": 135, "neighbour-advertisement": 136, "redirect": 137,
		"nd-router-solicit": 133, "nd-router-advert": 134, "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137,
		"router-renumbering": 138, "mld2-listener-report": 143,
	}
}}
