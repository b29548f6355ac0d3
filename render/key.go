package render

import (
	"encoding/hex"
	"math/bits"
	"strconv"

	"pbr/compiler/plan"
)

// protoNames are the protocols that are keywords of nft, so that they need no /etc/protocols.
var protoNames = []string{
	1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 50: "esp", 51: "ah",
	58: "icmpv6", 108: "comp", 132: "sctp", 136: "udplite",
}

// nfprotoNames are NFPROTO_IPV4 and NFPROTO_IPV6 (linux/netfilter.h).
var nfprotoNames = []string{2: "ipv4", 10: "ipv6"}

// addrTypeNames are RTN_* (linux/rtnetlink.h) in nft's words.
var addrTypeNames = []string{
	"unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit",
}

// directions are IP_CT_DIR_* (linux/netfilter/nf_conntrack_tuple_common.h) in nft's words.
var directions = [...]string{"original", "reply"}

// presences are nft's words for what a look-up finds or does not.
var presences = [...]string{"missing", "exists"}

// appendValue adds one value of type t as nft reads it.
func appendValue(b []byte, t plan.Type, k plan.Key) []byte {
	switch t {
	case plan.TypeIfname:
		return appendIfname(b, k)
	case plan.TypeIPv4, plan.TypeIPv6:
		return k.Addr(t).AppendTo(b)
	case plan.TypeEther:
		return appendMAC(b, k.MAC())
	case plan.TypeProto:
		return appendNamed(b, protoNames, k[0])
	case plan.TypeNFProto:
		return appendNamed(b, nfprotoNames, k[0])
	case plan.TypeFibAddrType:
		if v := k.Uint(t); v < 256 {
			return appendNamed(b, addrTypeNames, uint8(v))
		}
		return appendUint(b, k.Uint(t))
	case plan.TypeCTDir:
		return append(b, directions[min(k[0], 1)]...)
	case plan.TypeClass:
		v := k.Uint(t)
		return strconv.AppendUint(append(strconv.AppendUint(b, uint64(v>>16), 16), ':'), uint64(v&0xffff), 16)
	case plan.TypePresence:
		return append(b, presences[min(k.Uint(t), 1)]...)
	case plan.TypeCgroup:
		return strconv.AppendUint(b, k.Cgroup(), 10)
	case plan.TypeTime:
		return strconv.AppendUint(b, k.Seconds(), 10)
	case plan.TypeDSCP:
		return appendHex8(b, k[0])
	case plan.TypeMark, plan.TypeCTState, plan.TypeCTStatus:
		return appendMark(b, k.Uint(t))
	}
	return appendUint(b, k.Uint(t))
}

// appendInterval adds what nft calls an element: a value, a prefix or a range.
func appendInterval(b []byte, t plan.Type, from, to plan.Key) []byte {
	if from == to {
		return appendValue(b, t, from)
	}
	switch t {
	case plan.TypeIPv4, plan.TypeIPv6:
		if n, ok := prefixLen(from, to, t.Width()); ok {
			b = append(appendValue(b, t, from), '/')
			return appendUint(b, uint8(n))
		}
	case plan.TypeIfname:
		if prefix, ok := ifnamePrefix(from, to); ok {
			return appendQuoted(b, prefix+"*")
		}
	}
	if t == plan.TypeProto {
		// By number: nft takes "igmp-255" for one name.
		b = append(appendUint(b, from[0]), '-')
		return appendUint(b, to[0])
	}
	b = append(appendValue(b, t, from), '-')
	return appendValue(b, t, to)
}

// prefixLen reports whether from..to is exactly one prefix, and how long it is.
func prefixLen(from, to plan.Key, width int) (n int, ok bool) {
	i := 0
	for i < width && from[i] == to[i] {
		i++
	}
	if i == width {
		return 8 * width, true
	}
	diff := from[i] ^ to[i]
	if diff&(diff+1) != 0 || from[i]&diff != 0 {
		return 0, false
	}
	n = 8*i + bits.LeadingZeros8(diff)
	for i++; i < width; i++ {
		if from[i] != 0 || to[i] != 0xff {
			return 0, false
		}
	}
	return n, true
}

// ifnamePrefix reports whether from..to has all names that start alike, and what they start with.
func ifnamePrefix(from, to plan.Key) (prefix string, ok bool) {
	prefix = from.Text()
	n, exact := prefixLen(from, to, plan.TypeIfname.Width())
	return prefix, exact && n == 8*len(prefix) && prefix != ""
}

// appendIfname adds an interface's name, a final asterisk kept from being taken for a wildcard.
func appendIfname(b []byte, k plan.Key) []byte {
	name := k.Text()
	if n := len(name); n > 0 && name[n-1] == '*' {
		name = name[:n-1] + `\*`
	}
	return appendQuoted(b, name)
}

// appendQuoted adds an nft string. It has no way to write a quote in one: checkRuleset refuses it,
// and in what only a person reads (a live rule's comment) an apostrophe stands for it.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"':
			b = append(b, '\'')
		case c < ' ' || c == 0x7f:
			b = append(b, ' ')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func appendMAC(b []byte, mac [6]byte) []byte {
	for i, c := range mac {
		if i > 0 {
			b = append(b, ':')
		}
		b = hex.AppendEncode(b, []byte{c})
	}
	return b
}

func appendNamed(b []byte, names []string, v uint8) []byte {
	if int(v) < len(names) && names[v] != "" {
		return append(b, names[v]...)
	}
	return appendUint(b, v)
}
