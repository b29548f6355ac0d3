package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// Attributes newer than the Go constants (linux/fib_rules.h: dscp 6.13, flow label 6.14, masks
// 6.15).
const (
	fraDSCP      = 25
	fraSPortMask = 28
	fraDPortMask = 29
	fraDSCPMask  = 30
)

// noSuppress is the value that the kernel lists for a rule that suppresses nothing (-1).
const noSuppress = 0xffffffff

// sizeofRuleHdr is the size of struct fib_rule_hdr: family, dst_len, src_len, tos, table, two
// reserved, action, flags (u32).
const sizeofRuleHdr = 12

// encodeRule returns the body of an RTM_NEWRULE message.
func encodeRule(r plan.Rule) ([]byte, error) {
	switch {
	case r.Family != plan.IPv4 && r.Family != plan.IPv6:
		return nil, fmt.Errorf("invalid address family %d", r.Family)
	case r.Foreign != "":
		return nil, fmt.Errorf("cannot create it with what pbr never sets: %s", r.Foreign)
	case r.DSCP > 64:
		return nil, fmt.Errorf("invalid dscp %d", int(r.DSCP)-1)
	}
	b := make([]byte, sizeofRuleHdr, 128)
	b[0], b[3], b[7] = addressFamily(r.Family), r.TOS, byte(r.Action)
	if r.Invert {
		binary.NativeEndian.PutUint32(b[8:], unix.FIB_RULE_INVERT)
	}
	if r.Action == plan.ActLookup && r.Table < 256 {
		b[4] = byte(r.Table)
	}
	for _, p := range []struct {
		prefix netip.Prefix
		at     int
		typ    uint16
	}{{r.Dst, 1, unix.FRA_DST}, {r.Src, 2, unix.FRA_SRC}} {
		if !p.prefix.IsValid() {
			continue
		}
		if plan.FamilyOf(p.prefix.Addr()) != r.Family {
			return nil, fmt.Errorf("%s is of the other address family", p.prefix)
		}
		b[p.at] = byte(p.prefix.Bits())
		b = appendAttr(b, p.typ, p.prefix.Addr().AsSlice()...)
	}
	b = appendU32(b, unix.FRA_PRIORITY, r.Priority)
	b = appendAttr(b, unix.FRA_PROTOCOL, r.Protocol)
	b = appendSelectors(b, r)
	switch r.Action {
	case plan.ActLookup:
		b = appendU32(b, unix.FRA_TABLE, r.Table)
		if r.SuppressPrefix != 0 {
			b = appendU32(b, unix.FRA_SUPPRESS_PREFIXLEN, r.SuppressPrefix-1)
		}
	case plan.ActGoto:
		b = appendU32(b, unix.FRA_GOTO, r.Goto)
	}
	return b, nil
}

func appendSelectors(b []byte, r plan.Rule) []byte {
	if r.IIF != "" {
		b = appendText(b, unix.FRA_IIFNAME, r.IIF)
	}
	if r.OIF != "" {
		b = appendText(b, unix.FRA_OIFNAME, r.OIF)
	}
	if r.MarkMask != 0 {
		b = appendU32(b, unix.FRA_FWMARK, r.Mark)
		b = appendU32(b, unix.FRA_FWMASK, r.MarkMask)
	}
	if r.HasUID {
		b = appendAttr(b, unix.FRA_UID_RANGE, binary.NativeEndian.AppendUint32(
			binary.NativeEndian.AppendUint32(nil, r.UID.From), r.UID.To)...)
	}
	if r.Proto != 0 {
		b = appendAttr(b, unix.FRA_IP_PROTO, r.Proto)
	}
	if r.DSCP != 0 {
		b = appendAttr(b, fraDSCP, r.DSCP-1)
	}
	for _, p := range []struct {
		ports plan.PortRange
		typ   uint16
	}{{r.SPort, unix.FRA_SPORT_RANGE}, {r.DPort, unix.FRA_DPORT_RANGE}} {
		if p.ports != (plan.PortRange{}) {
			b = appendAttr(b, p.typ, binary.NativeEndian.AppendUint16(
				binary.NativeEndian.AppendUint16(nil, p.ports.From), p.ports.To)...)
		}
	}
	return b
}

// decodeRule is the inverse of encodeRule: it reads the body of an RTM_NEWRULE message of a dump.
func decodeRule(msg []byte) (plan.Rule, error) {
	if len(msg) < sizeofRuleHdr {
		return plan.Rule{}, fmt.Errorf("ip rule message of %d bytes", len(msg))
	}
	attrs, err := parseAttrs(msg[sizeofRuleHdr:])
	if err != nil {
		return plan.Rule{}, err
	}
	r := plan.Rule{
		Family: planFamily(msg[0]), TOS: msg[3], Action: plan.RuleAction(msg[7]), Table: uint32(msg[4]),
		Invert: binary.NativeEndian.Uint32(msg[8:])&unix.FIB_RULE_INVERT != 0,
	}
	var foreign []string
	for _, a := range attrs {
		switch a.typ {
		case unix.FRA_DST:
			r.Dst = prefix(a.data, msg[1])
		case unix.FRA_SRC:
			r.Src = prefix(a.data, msg[2])
		default:
			if text := decodeRuleAttr(&r, a); text != "" {
				foreign = append(foreign, text)
			}
		}
	}
	if r.Action != plan.ActLookup {
		r.Table, r.SuppressPrefix = 0, 0
	}
	r.Mark &= r.MarkMask
	r.Foreign = strings.Join(foreign, " ")
	return r, nil
}

// decodeRuleAttr stores one attribute in r, or returns it as text if pbr never sets it.
func decodeRuleAttr(r *plan.Rule, a attr) string {
	switch a.typ {
	case unix.FRA_PRIORITY:
		r.Priority = a.u32(0)
	case unix.FRA_TABLE:
		r.Table = a.u32(0)
	case unix.FRA_PROTOCOL:
		r.Protocol = a.u8()
	case unix.FRA_IIFNAME:
		r.IIF = a.text()
	case unix.FRA_OIFNAME:
		r.OIF = a.text()
	case unix.FRA_FWMARK:
		r.Mark = a.u32(0)
	case unix.FRA_FWMASK:
		r.MarkMask = a.u32(0)
	case unix.FRA_UID_RANGE:
		r.HasUID, r.UID = true, plan.UIDRange{From: a.u32(0), To: a.u32(4)}
	case unix.FRA_IP_PROTO:
		r.Proto = a.u8()
	case unix.FRA_SPORT_RANGE:
		r.SPort = plan.PortRange{From: a.u16(0), To: a.u16(2)}
	case unix.FRA_DPORT_RANGE:
		r.DPort = plan.PortRange{From: a.u16(0), To: a.u16(2)}
	case fraDSCP:
		r.DSCP = a.u8() + 1
	case unix.FRA_SUPPRESS_PREFIXLEN:
		if v := a.u32(0); v != noSuppress {
			r.SuppressPrefix = v + 1
		}
	case unix.FRA_GOTO:
		r.Goto = a.u32(0)
	default:
		return foreignRuleAttr(a)
	}
	return ""
}

// foreignRuleAttr prints an attribute that pbr never sets. It prints nothing for those that the
// kernel lists with every rule.
func foreignRuleAttr(a attr) string {
	switch a.typ {
	case unix.FRA_PAD:
	case unix.FRA_SUPPRESS_IFGROUP:
		if v := a.u32(0); v != noSuppress {
			return fmt.Sprintf("suppress_ifgroup %d", v)
		}
	case fraSPortMask, fraDPortMask:
		if v := a.u16(0); v != 0xffff && v != 0 {
			return fmt.Sprintf("port mask %d: 0x%x", a.typ, v)
		}
	case fraDSCPMask:
		if v := a.u8(); v != 0x3f {
			return fmt.Sprintf("dscp mask 0x%x", v)
		}
	case unix.FRA_FLOW:
		return fmt.Sprintf("realms %d/%d", a.u32(0)>>16, a.u32(0)&0xffff)
	case unix.FRA_TUN_ID:
		return fmt.Sprintf("tun_id 0x%x", a.data)
	case unix.FRA_L3MDEV:
		return "l3mdev"
	default:
		return fmt.Sprintf("attribute %d: 0x%x", a.typ, a.data)
	}
	return ""
}

// prefix returns the zero Prefix if the bytes are not an address.
func prefix(b []byte, bits uint8) netip.Prefix {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, int(bits)).Masked()
}

// listedFlags are the flags by which the kernel reports a rule's state. If a new rule is sent with
// them, the kernel keeps them for good.
const listedFlags = unix.FIB_RULE_UNRESOLVED | unix.FIB_RULE_IIF_DETACHED | unix.FIB_RULE_OIF_DETACHED

// unresolved marks, in a rule's Foreign field, a goto that leads nowhere although its target
// exists.
const unresolved = "unresolved"

// liveRule is a rule and the message that creates it again: the one with which the kernel listed
// it, without its state.
type liveRule struct {
	plan.Rule
	msg []byte
}

// rules lists all rules of a family in the kernel's order.
func (c *Conn) rules(family plan.Family) ([]liveRule, error) {
	msgs, err := c.dump(unix.RTM_GETRULE, unix.RTM_NEWRULE, append([]byte{addressFamily(family)}, make([]byte, sizeofRuleHdr-1)...))
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // a kernel without IPv6, or without its rules
	}
	if err != nil {
		return nil, fmt.Errorf("listing ip -%d rules: %w", family, err)
	}
	out := make([]liveRule, 0, len(msgs))
	var dead []int
	for _, m := range msgs {
		r, err := decodeRule(m)
		if err != nil {
			return nil, fmt.Errorf("reading ip -%d rules: %w", family, err)
		}
		if r.Family != family {
			continue
		}
		flags := binary.NativeEndian.Uint32(m[8:])
		if flags&unix.FIB_RULE_UNRESOLVED != 0 {
			dead = append(dead, len(out))
		}
		binary.NativeEndian.PutUint32(m[8:], flags&^listedFlags)
		out = append(out, liveRule{r, m})
	}
	for _, i := range dead {
		noteDead(out, i)
	}
	return out, nil
}

// noteDead marks a goto that leads nowhere. A goto whose target is missing is correct: the kernel
// resolves it when the target is added.
func noteDead(live []liveRule, i int) {
	r := &live[i].Rule
	if at := firstOf(live, r.Goto); at < len(live) && live[at].Priority == r.Goto {
		r.Foreign = strings.TrimSpace(r.Foreign + " " + unresolved)
	}
}
