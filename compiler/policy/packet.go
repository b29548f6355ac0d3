package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// What follows reads values that describe one packet, in the spellings of the policy file. Errors
// say what is wrong, and what to write.

// errorOf turns a fault into an error.
func (f *fault) errorOf(key string) error {
	switch {
	case f == nil:
		return nil
	case f.hint == "":
		return fmt.Errorf("%s: %s", key, f.message)
	}
	return fmt.Errorf("%s: %s: %s", key, f.message, f.hint)
}

// one reads a number or a name, and no range.
func (k *numberKind) one(key, v string) (uint32, error) {
	low, high, f := k.parse(v)
	if f == nil && low != high {
		f = badValue("write one of them", "%q is a range, a packet has one %s", v, k.what)
	}
	return low, f.errorOf(key)
}

// PacketProto reads an IP protocol.
func PacketProto(key, v string) (uint8, error) {
	n, err := protoKind.one(key, v)
	return uint8(n), err
}

// PacketPort reads a port.
func PacketPort(key, v string) (uint16, error) {
	n, err := portKind.one(key, v)
	return uint16(n), err
}

// PacketDSCP reads a code point.
func PacketDSCP(key, v string) (uint8, error) {
	n, err := dscpKind.one(key, v)
	return uint8(n), err
}

// PacketMark reads a packet mark.
func PacketMark(key, v string) (uint32, error) {
	n, err := (&numberKind{what: "mark", high: 1<<32 - 1, hint: "write a number, as 0x100"}).one(key, v)
	return n, err
}

// PacketUID reads a uid or the name of a user whose uid Debian fixes.
func PacketUID(key, v string) (uint32, error) {
	if uid, ok := users.Get()[v]; ok {
		return uid, nil
	}
	return uidKind.one(key, v)
}

// PacketGID reads a gid or the name of a group whose gid Debian fixes.
func PacketGID(key, v string) (uint32, error) {
	if gid, ok := groups.Get()[v]; ok {
		return gid, nil
	}
	return gidKind.one(key, v)
}

// PacketICMP reads a type of ICMP, or of ICMPv6.
func PacketICMP(key, v string, v6 bool) (uint8, error) {
	names := &icmp4
	if v6 {
		names = &icmp6
	}
	n, err := (&numberKind{what: "ICMP type", high: 255, names: names, hint: icmpKind.hint}).one(key, v)
	return uint8(n), err
}

// PacketMAC reads a MAC address.
func PacketMAC(key, v string) ([6]byte, error) {
	mac, f := parseMAC(v)
	return mac, f.errorOf(key)
}

// PacketInterface reads an interface's name.
func PacketInterface(key, v string) error { return checkInterface(v).errorOf(key) }

// ProtoName is the usual name of an IP protocol, or its number.
func ProtoName(proto uint8) string { return protoName(uint32(proto)) }

// HasPorts reports whether a protocol has ports.
func HasPorts(proto uint8) bool { return hasPorts(uint32(proto)) }

// AddrFault says what is wrong with something that is neither an address nor the name of a list.
func (d *Document) AddrFault(key, v string) error {
	_, f := parseAddr(v)
	if f == nil {
		return nil
	}
	if f.hint == anyRangeHint { // a packet has one
		f.hint = "write one address, or the name of a host or of a list"
	}
	if name, isList := strings.CutPrefix(v, "@"); isList {
		var names []string
		for i := range d.Lists {
			names = append(names, d.Lists[i].Name)
		}
		f = badValue(suggestName(name, names, "@"), "there is no list %q", name)
	}
	return f.errorOf(key)
}

// ListAddr is the first address of an IP version (4, 6, or 0 for any) in a list; ok is false if
// there is no such list, or no such address in it.
func (d *Document) ListAddr(name string, version int) (a netip.Addr, ok bool) {
	l := d.List(name)
	if l == nil {
		return a, false
	}
	for _, r := range l.Ranges {
		if version == 0 || r.From.Is4() == (version == 4) {
			return r.From, true
		}
	}
	return a, false
}

// SuggestUplink words a hint for the name of an uplink that does not exist.
func (d *Document) SuggestUplink(name string) string {
	var names []string
	for i := range d.Uplinks {
		names = append(names, d.Uplinks[i].Name)
	}
	return suggestName(name, names, "")
}

// ParseRange reads an address, a prefix or a range.
func ParseRange(v string) (Range, error) {
	r, f := parseRange(v)
	switch {
	case f == nil:
		return r, nil
	case f.hint == "":
		return r, errors.New(f.message)
	}
	return r, fmt.Errorf("%s: %s", f.message, f.hint)
}

// ParseTime reads a time as the policy file has it, as "90s", "2h" or "1d".
func ParseTime(v string) (time.Duration, error) {
	d, f := parseDuration(v)
	if f != nil {
		return 0, fmt.Errorf("%s: %s", f.message, f.hint)
	}
	return d, nil
}
