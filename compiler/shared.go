package compiler

import (
	"strconv"

	"pbr/compiler/ipproto"
	"pbr/compiler/plan"
)

// Policies select by the same few protocols, ports and interfaces again and again. Sets of these
// are named after what is in them, so that all policies share one: the kernel looks a set up by
// walking the table's list of them, and a set a policy makes loading many policies quadratic.

// sharedPrefixes begin the names of shared sets, by the type of their keys.
var sharedPrefixes = map[plan.Type]string{
	plan.TypeProto: "protocols-", plan.TypePort: "ports-", plan.TypeIfname: "interfaces-",
}

// maxSharedName is how long the name of a shared set may get, to stay readable in the rules that
// use it.
const maxSharedName = 64

// sharedName returns the name of the set with these elements, sorted and none overlapping, or "" if
// it is not to be shared. Values are apart by a slash, which no interface's name has
// (dev_valid_name in net/core/dev.c).
func sharedName(t plan.Type, elements []plan.Element) string {
	prefix, ok := sharedPrefixes[t]
	if !ok {
		return ""
	}
	b := append(make([]byte, 0, maxSharedName), prefix...)
	for i := range elements {
		if i > 0 {
			b = append(b, '/')
		}
		b = appendWord(b, t, elements[i].From)
		if elements[i].To != elements[i].From {
			b = appendWord(append(b, '-'), t, elements[i].To)
		}
		if len(b) > maxSharedName {
			return ""
		}
	}
	for _, c := range b {
		if !nameByte(c) {
			return ""
		}
	}
	return string(b)
}

// protocolWords are the names of protocols that policies often select together.
var protocolWords = map[uint32]string{ipproto.TCP: "tcp", ipproto.UDP: "udp", ipproto.SCTP: "sctp", ipproto.UDPLite: "udplite"}

func appendWord(b []byte, t plan.Type, k plan.Key) []byte {
	if t == plan.TypeIfname {
		return append(b, k.Text()...)
	}
	n := k.Uint(t)
	if word := protocolWords[n]; word != "" && t == plan.TypeProto {
		return append(b, word...)
	}
	return strconv.AppendUint(b, uint64(n), 10)
}

// nameByte reports whether nft reads c as a part of a name, after its first letter.
func nameByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return c == '/' || c == '_' || c == '.' || c == '-'
}
