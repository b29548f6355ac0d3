package routeros

import (
	"net/netip"
	"slices"
	"strings"

	"pbr/compiler/interval"
)

// portProtocols are those whose ports a policy can select by.
var portProtocols = []string{"tcp", "udp", "sctp", "dccp", "udplite"}

// possible reports whether any packet is so: the policy file refuses what none is.
func (c *cond) possible(lists map[string]*list) bool {
	ports := c.keys[keySPort] != nil || c.keys[keyDPort] != nil
	if proto := c.keys[keyProto]; ports && proto != nil {
		left := proto.pos
		if len(left) == 0 {
			left = portProtocols[:2]
		}
		if !slices.ContainsFunc(left, func(p string) bool { return slices.Contains(portProtocols, p) && !slices.Contains(proto.neg, p) }) {
			return false
		}
	}
	if ports && c.keys[keyICMP] != nil {
		return false
	}
	for _, k := range []key{keySrc, keyDst, keySPort, keyDPort} {
		if s := c.keys[k]; s != nil && len(s.neg) > 0 && s.empty(k, lists) {
			return false
		}
	}
	return true
}

// empty reports whether what is negated leaves nothing.
func (s *sel) empty(k key, lists map[string]*list) bool {
	neg := interval.Merge(interval.Addrs{}, spansOf(s.neg, k, lists))
	pos := spansOf(s.pos, k, lists)
	if len(s.pos) == 0 {
		pos = []span{{netip.IPv4Unspecified(), netip.AddrFrom4([4]byte{255, 255, 255, 255})}}
		if k == keySPort || k == keyDPort {
			pos = []span{{portAddr(1), portAddr(65535)}}
		}
	}
	pos = interval.Merge(interval.Addrs{}, pos)
	return len(pos) > 0 && interval.Contains(interval.Addrs{}, neg, pos)
}

// spansOf spells values out, whatever their number. A list that is not known has none.
func spansOf(values []string, k key, lists map[string]*list) (out []span) {
	if k == keySPort || k == keyDPort {
		out, _ = portSpans(values)
		return out
	}
	for _, v := range values {
		name, isList := strings.CutPrefix(v, "@")
		if !isList {
			if p, ok := addrSpan(v); ok {
				out = append(out, p)
			}
			continue
		}
		if l := lists[name]; l != nil {
			for _, e := range l.entries {
				if p, ok := addrSpan(e.Text); ok {
					out = append(out, p)
				}
			}
		}
	}
	return out
}
