package routeros

import (
	"fmt"
	"net/netip"
	"strings"
)

// readSourceNAT gives the uplinks their nat.
func (b *builder) readSourceNAT() {
	for _, s := range b.nat {
		switch action := s.get("action"); {
		case !s.has("chain", "srcnat"):
			s.DropSevere("translating destinations is not pbr's: keep it in an nftables table of your own (type " +
				"nat hook prerouting); replies to what arrives on an uplink leave through it")
		case action == "masquerade" || action == "src-nat":
			b.sourceNAT(s, action)
		case action == "accept":
			s.DropSevere("an exception from NAT: the nat of an uplink has none; make it in nftables, " +
				"or let the traffic leave through a tunnel of its own")
		default:
			s.DropSevere(fmt.Sprintf("action=%s of srcnat is not pbr's: keep it in an nftables table of your own", action))
		}
	}
	for _, l := range b.lineOrder {
		if b.nated && l.NAT == "" {
			l.NAT = "none"
		}
		if b.nated && l.carries[1] && l.NAT != "none" && l.NAT6 == "" {
			l.NAT6 = "none"
		}
	}
}

func (b *builder) sourceNAT(s *statement, action string) {
	lines, why := b.natLines(s)
	if why != "" {
		s.DropSevere(why)
		return
	}
	six := strings.HasPrefix(s.section, "ipv6")
	if !six {
		b.nated = true
	}
	value := "masquerade"
	if to := s.get("to-addresses"); action == "src-nat" {
		if addr, err := netip.ParseAddr(strings.TrimSuffix(to, "/32")); err == nil {
			value = addr.String()
		} else {
			s.Change("an uplink translates to one address, or to its own: it is nat = \"masquerade\"")
		}
	}
	if hairpin(s) {
		s.DropSevere("a hairpin for port forwards: keep it in an nftables table of your own (type nat hook postrouting)")
		return
	}
	for _, key := range conditions(s) {
		s.Change(fmt.Sprintf("the nat of an uplink is for all that leaves through it, whatever %s", key))
	}
	for _, l := range lines {
		b.translate(s, l, value, six)
	}
}

func (b *builder) translate(s *statement, l *line, value string, six bool) {
	text := &l.NAT
	if six {
		text = &l.NAT6
	}
	switch {
	case *text == "":
		*text = value
	case *text != value:
		s.Change(fmt.Sprintf("uplink %s has nat = %q of an earlier rule already", l.Name, *text))
	}
	s.Import("uplink " + l.Name)
}

// natLines are the uplinks that a rule is for.
func (b *builder) natLines(s *statement) (out []*line, why string) {
	name, not := strings.CutPrefix(s.get("out-interface"), "!")
	group, notGroup := strings.CutPrefix(s.get("out-interface-list"), "!")
	var members []string
	switch {
	case name != "":
		members = []string{b.iface(name)}
	case group != "" && group != "all":
		var ok bool
		if members, ok = b.members(group, 0); !ok {
			return nil, fmt.Sprintf("the interface list %s has no members that can be named", group)
		}
		not = notGroup
	default:
		return b.lineOrder, ""
	}
	in := map[string]bool{}
	for _, m := range members {
		in[m] = true
	}
	for _, l := range b.lineOrder {
		if in[l.Interface] != not {
			out = append(out, l)
		}
	}
	if len(out) == 0 {
		return nil, "its interface is not an uplink: keep it in an nftables table of your own (type nat hook postrouting)"
	}
	return out, ""
}

// conditions are the matchers of a rule beside its interface.
func conditions(s *statement) (out []string) {
	for _, a := range s.args {
		switch a.key {
		case "action", "chain", "comment", "disabled", "out-interface", "out-interface-list", "to-addresses", "log", "log-prefix":
		default:
			if a.value != "" {
				out = append(out, a.key)
			}
		}
	}
	return out
}

// hairpin reports whether a rule is for what goes from the inside to the inside.
func hairpin(s *statement) bool {
	if s.get("out-interface")+s.get("out-interface-list") != "" {
		return false
	}
	dst, ok := addrSpan(s.get("dst-address"))
	return ok && dst.From.IsPrivate()
}
