package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/ipproto"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Missed is an earlier policy that did not match, and why.
type Missed struct {
	Name string
	Line int
	Why  string
}

// Missed returns the policies before the one that decided, nearest first, at most n of them; all if
// n is 0. After a packet that no policy caught they are the last ones.
func (x *Explainer) Missed(a *Answer, n int) (missed []Missed) {
	last := len(x.doc.Policies)
	switch a.By.Kind {
	case ByPolicy:
		for _, name := range a.ways[0].Counters {
			if c := x.policies[name]; c != nil {
				last = c.index
			}
		}
	case ByDefault, ByRule:
	case ByMain:
		if a.question.established {
			return nil
		}
	default:
		return nil
	}
	if a.question.established {
		return nil
	}
	for i := last - 1; i >= 0 && (n == 0 || len(missed) < n); i-- {
		p := &x.doc.Policies[i]
		if why := x.mismatch(p, a.question); why != "" {
			missed = append(missed, Missed{p.Name, p.Pos.Line, why})
		}
	}
	return missed
}

// missesMAC is what mismatch says of a policy that only another source MAC address would match.
const missesMAC = "mac: the source MAC address differs, or was not given"

// mismatch says which key of a policy keeps a packet out; empty if none does.
func (x *Explainer) mismatch(p *policy.Policy, q *Question) string {
	k := &q.packet
	switch {
	case q.in == local && !p.Local:
		return "it only matches forwarded packets"
	case q.in != local && !p.Forwarded:
		return "it only matches the router's own packets"
	case q.in != local && q.in != "" && !matchesNames(p.From, q.in):
		return "from: " + q.in + missesNames(p.From)
	case k.Src.IsValid() && !x.matchesAddrs(p.Src, k.Src):
		return "src: " + k.Src.String() + missesAddrs(p.Src)
	case !x.matchesAddrs(p.Dst, k.Dst):
		return "dst: " + k.Dst.String() + missesAddrs(p.Dst)
	case p.IPVersion == 4 && k.Dst.Is6() || p.IPVersion == 6 && k.Dst.Is4():
		return "ipv: it only matches IPv" + strconv.Itoa(p.IPVersion)
	case !matchesNumbers(p.Proto, uint32(k.Proto)):
		return "proto: " + policy.ProtoName(k.Proto) + missesNumbers(p.Proto, func(n uint32) string { return policy.ProtoName(uint8(n)) })
	case len(p.SPort)+len(p.DPort) > 0 && !policy.HasPorts(k.Proto):
		return policy.ProtoName(k.Proto) + " has no ports"
	case len(p.SPort) > 0 && !matchesPorts(p.SPort, k.SPort):
		return "sport: " + strconv.Itoa(int(k.SPort)) + missesPorts(p.SPort)
	case len(p.DPort) > 0 && !matchesPorts(p.DPort, k.DPort):
		return "dport: " + strconv.Itoa(int(k.DPort)) + missesPorts(p.DPort)
	case len(p.SPort)+len(p.DPort) > 0 && !namesProto(p.Proto) && k.Proto != ipproto.TCP && k.Proto != ipproto.UDP:
		return "ports without proto only match TCP and UDP"
	case !matchesNumbers(p.DSCP, uint32(k.DSCP)):
		return fmt.Sprintf("dscp: %d%s", k.DSCP, missesNumbers(p.DSCP, decimal))
	case !matchesNumbers(p.UID, k.UID):
		return fmt.Sprintf("uid: %d%s", k.UID, missesNumbers(p.UID, decimal))
	case !matchesNumbers(p.GID, k.GID):
		return fmt.Sprintf("gid: %d%s", k.GID, missesNumbers(p.GID, decimal))
	case len(p.Marks) > 0 && !slices.ContainsFunc(p.Marks, func(m policy.MarkItem) bool { return k.Mark&m.Mask == m.Value }):
		return fmt.Sprintf("fwmark: %#x does not match", k.Mark)
	case len(p.Cgroups) > 0 &&
		!slices.ContainsFunc(p.Cgroups, func(c policy.ProgramItem) bool { return policy.InCgroup(c.Name, q.cgroup) }):
		return "cgroup: " + notIn(q.cgroup)
	case len(p.Units) > 0 && !slices.ContainsFunc(p.Units, func(u policy.ProgramItem) bool { return policy.InUnit(u.Name, q.cgroup) }):
		return "unit: " + notIn(q.cgroup)
	case !x.scheduled(p, q):
		return "schedule: not at " + q.packet.Time.In(x.zone()).Format("Mon 2006-01-02 15:04 MST")
	case len(p.MAC) > 0 && !slices.ContainsFunc(p.MAC, func(m policy.MACItem) bool { return k.Ethernet && m.Addr == k.MAC }):
		return missesMAC
	case len(p.ICMP) > 0 && !matchesICMP(p.ICMP, q):
		return "icmp-type: it does not match"
	}
	return ""
}

// notIn says that a sender is in none of a policy's control groups.
func notIn(cgroup string) string {
	if cgroup == "" {
		return "the sender's control group was not given: --cgroup system.slice/transmission.service"
	}
	return cgroup + " is in none of them"
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// selects reports whether a list of entries selects: one of those that are not negated, if there
// are any, and none of those that are.
func selects[T any](items []T, not, hit func(*T) bool) bool {
	positive, in := false, false
	for i := range items {
		matched := hit(&items[i])
		if not(&items[i]) {
			if matched {
				return false
			}
			continue
		}
		positive, in = true, in || matched
	}
	return in || !positive
}

func matchesNames(items []policy.NameItem, name string) bool {
	return selects(items, func(n *policy.NameItem) bool { return n.Not },
		func(n *policy.NameItem) bool { return plan.NamesInterface(n.Name, name) })
}

func (x *Explainer) matchesAddrs(items []policy.AddrItem, a netip.Addr) bool {
	return selects(items, func(n *policy.AddrItem) bool { return n.Not }, func(n *policy.AddrItem) bool {
		if n.List == "" {
			return within(n.Range, a)
		}
		l := x.doc.List(n.List)
		return l != nil && (slices.ContainsFunc(l.Ranges, func(r policy.Range) bool { return within(r, a) }) || x.isMember(l, a))
	})
}

func within(r policy.Range, a netip.Addr) bool {
	return r.From.Is4() == a.Is4() && !a.Less(r.From) && !r.To.Less(a)
}

func matchesNumbers(items []policy.NumItem, v uint32) bool {
	return selects(items, func(n *policy.NumItem) bool { return n.Not }, func(n *policy.NumItem) bool { return n.From <= v && v <= n.To })
}

func matchesPorts(items []policy.PortItem, v uint16) bool {
	return selects(items, func(n *policy.PortItem) bool { return n.Not }, func(n *policy.PortItem) bool { return n.From <= v && v <= n.To })
}

func namesProto(items []policy.NumItem) bool {
	return slices.ContainsFunc(items, func(n policy.NumItem) bool { return !n.Not })
}

func matchesICMP(items []policy.ICMPItem, q *Question) bool {
	k := &q.packet
	return slices.ContainsFunc(items, func(n policy.ICMPItem) bool {
		return n.Type == k.ICMPType && (n.Family == 4 && k.Proto == ipproto.ICMP || n.Family == 6 && k.Proto == ipproto.ICMPv6)
	})
}

// fewItems is how many entries of a list are printed.
const fewItems = 3

// misses words "is not one of" a list.
func misses(words []string) string {
	if len(words) > fewItems {
		return " is none of " + strings.Join(words[:fewItems], ", ") + " and " + strconv.Itoa(len(words)-fewItems) + " more"
	}
	return " is not in " + strings.Join(words, ", ")
}

func negated(not bool, text string) string {
	if not {
		return "!" + text
	}
	return text
}

func missesNames(items []policy.NameItem) string {
	var words []string
	for _, n := range items {
		words = append(words, negated(n.Not, n.Name))
	}
	return misses(words)
}

func missesAddrs(items []policy.AddrItem) string {
	var words []string
	for _, n := range items {
		text := "@" + n.List
		if n.List == "" {
			text = n.Range.String()
		}
		words = append(words, negated(n.Not, text))
	}
	return misses(words)
}

func missesNumbers(items []policy.NumItem, name func(uint32) string) string {
	var words []string
	for _, n := range items {
		text := name(n.From)
		if n.To != n.From {
			text += "-" + name(n.To)
		}
		words = append(words, negated(n.Not, text))
	}
	return misses(words)
}

func missesPorts(items []policy.PortItem) string {
	var list []policy.NumItem
	for _, n := range items {
		list = append(list, policy.NumItem{Not: n.Not, From: uint32(n.From), To: uint32(n.To)})
	}
	return missesNumbers(list, decimal)
}
