package explain

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"pbr/compiler"
	"pbr/compiler/ipproto"
	"pbr/compiler/policy"
	"pbr/compiler/walk"
)

// Keys are what a question is made of: the command's options, and the keys of JSON and of
// assertions.
var Keys = [...]string{"in", "src", "dst", "proto", "sport", "dport", "state", "pinned", "mac", "uid", "gid",
	"cgroup", "dscp", "icmp-type", "mark", "at"}

// Indexes into Keys and Text.
const (
	keyIn = iota
	keySrc
	keyDst
	keyProto
	keySport
	keyDport
	keyState
	keyPinned
	keyMAC
	keyUID
	keyGID
	keyCgroup
	keyDSCP
	keyICMP
	keyMark
	keyAt
)

// Text is a question as written, by the index in Keys; empty is absent.
type Text [len(Keys)]string

// Set sets a key; it reports whether there is such a key.
func (t *Text) Set(key, value string) bool {
	for i, k := range Keys {
		if k == key {
			t[i] = value
			return true
		}
	}
	return false
}

// Get is the value of a key, empty if it is absent.
func (t *Text) Get(key string) string {
	for i, k := range Keys {
		if k == key {
			return t[i]
		}
	}
	return ""
}

// Ping is a protocol's name for ICMP of the packet's IP version.
const Ping = "ping"

// local is what stands for the router itself where an interface does.
const local = "local"

// firstDynamic is the source port of packets that name none (RFC 6335, 6).
const firstDynamic = 49152

// ICMP types of a packet that names none: echo requests (RFC 792, RFC 4443).
const (
	echoRequest4 = 8
	echoRequest6 = 128
)

// Question is a packet, and what is known of its connection.
type Question struct {
	packet walk.Packet
	// in is an interface or "local"; empty if it is not known.
	in          string
	established bool
	// cgroup is the path of the sender's control group; empty if it is not known.
	cgroup string
	// at means that the question says when the packet comes.
	at bool
	// pinned is the name of the uplink that the connection is pinned to.
	pinned string
	// mark is the connection's where it is known; otherwise that of pinned counts.
	mark uint32
	// notes say what was assumed.
	notes []string
}

// Resolver finds the addresses of a host.
type Resolver func(host string) []netip.Addr

// Read makes a question of what is written.
func (x *Explainer) Read(t *Text, resolve Resolver) (*Question, error) {
	q := &Question{in: t[keyIn]}
	if err := x.readInterface(q); err != nil {
		return nil, err
	}
	if err := x.readAddresses(q, t, resolve); err != nil {
		return nil, err
	}
	if err := q.readTransport(t); err != nil {
		return nil, err
	}
	if err := x.readRest(q, t); err != nil {
		return nil, err
	}
	return q, x.readState(q, t)
}

func (x *Explainer) readInterface(q *Question) error {
	if q.in == "lo" {
		q.in = local
	}
	if q.in == "" || q.in == local {
		return nil
	}
	if err := policy.PacketInterface("in", q.in); err != nil {
		return err
	}
	if !x.interfaceExists(q.in) {
		return fmt.Errorf("in: there is no interface %q: write one of this machine's, or \"local\" for the router's own packets", q.in)
	}
	return nil
}

func (x *Explainer) readAddresses(q *Question, t *Text, resolve Resolver) error {
	p := &q.packet
	if t[keyDst] == "" {
		return errors.New("dst: missing: write the destination's address")
	}
	if a, err := netip.ParseAddr(t[keySrc]); err == nil && q.in == "" && a.Zone() != "" {
		q.in = a.Zone()
		if err := x.readInterface(q); err != nil {
			return err
		}
	}
	if t[keySrc] == "" && q.in != local {
		return errors.New("src: missing: write the sender's address; only in = \"local\" needs none")
	}
	var err error
	// The address that is written decides the version of one that a name stands for.
	version := versionOf(t[keySrc]) + versionOf(t[keyDst])
	if p.Dst, err = x.address(q, "dst", t[keyDst], version, resolve); err != nil {
		return err
	}
	if t[keySrc] == "" {
		return nil
	}
	if p.Src, err = x.address(q, "src", t[keySrc], cmp.Or(versionOf(t[keySrc]), version, versionOf(p.Dst.String())), resolve); err != nil {
		return err
	}
	if p.Src.Is4() != p.Dst.Is4() {
		return fmt.Errorf("src %s and dst %s are of different IP versions", p.Src, p.Dst)
	}
	return nil
}

// versionOf is 4 or 6 for an address, 0 for everything else.
func versionOf(text string) int {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return 0
	case a.Unmap().Is4():
		return 4
	}
	return 6
}

// address reads an address, or what a name stands for: a list's first address, or a host's.
func (x *Explainer) address(q *Question, key, text string, version int, resolve Resolver) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err == nil {
		return a.Unmap().WithZone(""), nil
	}
	name := strings.TrimPrefix(text, "@")
	if a, ok := x.listAddr(name, version); ok {
		q.notes = append(q.notes, key+": "+a.String()+", the first address of list "+name)
		return a, nil
	}
	if x.doc.List(name) != nil {
		return netip.Addr{}, fmt.Errorf("%s: list %q has no IPv%d address", key, name, version)
	}
	if resolve != nil && name == text && isHost(text) {
		found := resolve(text)
		if version == 0 && slices.ContainsFunc(found, netip.Addr.Is4) {
			version = 4
		}
		for _, a := range found {
			if a = a.Unmap(); version == 0 || a.Is4() == (version == 4) {
				q.notes = append(q.notes, key+": "+text+" is "+a.String())
				return a, nil
			}
		}
		return netip.Addr{}, fmt.Errorf("%s: %q is not an address, a list, or a host that can be resolved: write an address", key, text)
	}
	return netip.Addr{}, x.doc.AddrFault(key, text)
}

// isHost reports whether a text can be a host's name, and no misspelt address.
func isHost(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r >= 'g' && r <= 'z' || r >= 'G' && r <= 'Z' }) &&
		!strings.ContainsAny(text, ":/@ ")
}

func (q *Question) readTransport(t *Text) (err error) {
	p := &q.packet
	if t[keyProto] == "" {
		return errors.New("proto: missing: write tcp, udp, icmp, ..., or a number")
	}
	switch {
	case t[keyProto] != Ping:
		if p.Proto, err = policy.PacketProto("proto", t[keyProto]); err != nil {
			return err
		}
	case p.Dst.Is6():
		p.Proto = ipproto.ICMPv6
	default:
		p.Proto = ipproto.ICMP
	}
	if !policy.HasPorts(p.Proto) {
		for _, i := range []int{keySport, keyDport} {
			if t[i] != "" {
				return fmt.Errorf("%s: %s has no ports: write proto = \"tcp\" or \"udp\", or omit it", Keys[i], policy.ProtoName(p.Proto))
			}
		}
		p.NoPorts = p.Proto != ipproto.ICMP && p.Proto != ipproto.ICMPv6
	}
	p.SPort, p.AnySPort, p.AnyDPort = firstDynamic, t[keySport] == "", t[keyDport] == ""
	if t[keySport] != "" {
		if p.SPort, err = policy.PacketPort("sport", t[keySport]); err != nil {
			return err
		}
	}
	if t[keyDport] != "" {
		if p.DPort, err = policy.PacketPort("dport", t[keyDport]); err != nil {
			return err
		}
	}
	return q.readICMP(t[keyICMP])
}

func (q *Question) readICMP(text string) (err error) {
	p, six := &q.packet, q.packet.Dst.Is6()
	switch {
	case p.Proto == ipproto.ICMP && six:
		return errors.New("proto: icmp is for IPv4: write icmpv6")
	case p.Proto == ipproto.ICMPv6 && !six:
		return errors.New("proto: icmpv6 is for IPv6: write icmp")
	case p.Proto != ipproto.ICMP && p.Proto != ipproto.ICMPv6 && text != "":
		return fmt.Errorf("icmp-type: %s has no types: write proto = \"icmp\" or \"icmpv6\"", policy.ProtoName(p.Proto))
	case text != "":
		p.ICMPType, err = policy.PacketICMP("icmp-type", text, six)
	case p.Proto == ipproto.ICMP:
		p.ICMPType = echoRequest4
	case p.Proto == ipproto.ICMPv6:
		p.ICMPType = echoRequest6
	}
	return err
}

func (x *Explainer) readRest(q *Question, t *Text) (err error) {
	p := &q.packet
	if t[keyMAC] != "" {
		if q.in == local {
			return errors.New("mac: the router's own packets have no source MAC address")
		}
		if p.MAC, err = policy.PacketMAC("mac", t[keyMAC]); err != nil {
			return err
		}
		p.Ethernet = true
	}
	if mac, known := x.live.MACs[p.Src]; known && !p.Ethernet && q.in != local && x.usesMAC() {
		p.MAC, p.Ethernet = mac, true
		q.notes = append(q.notes, "mac: from the neighbour table")
	}
	p.HasUID = q.in == local
	for _, key := range []int{keyUID, keyGID, keyCgroup} {
		switch {
		case t[key] == "" || err != nil:
		case !p.HasUID:
			err = fmt.Errorf("%s: only the router's own packets have one: write in = \"local\"", Keys[key])
		case key == keyUID:
			p.UID, err = policy.PacketUID("uid", t[key])
		case key == keyCgroup:
			q.cgroup, err = policy.PacketCgroup("cgroup", t[key])
		default:
			p.GID, err = policy.PacketGID("gid", t[key])
		}
	}
	p.InCgroup = func(set string) bool { return compiler.InPrograms(x.doc, set, q.cgroup) }
	if err == nil && t[keyDSCP] != "" {
		p.DSCP, err = policy.PacketDSCP("dscp", t[keyDSCP])
	}
	if err == nil && t[keyMark] != "" {
		p.Mark, err = policy.PacketMark("mark", t[keyMark])
	}
	return err
}

// usesMAC reports whether a policy matches by MAC address.
func (x *Explainer) usesMAC() bool {
	return slices.ContainsFunc(x.doc.Policies, func(p policy.Policy) bool { return len(p.MAC) > 0 })
}

func (x *Explainer) readState(q *Question, t *Text) error {
	switch t[keyState] {
	case "", "new":
	case "established":
		q.established = true
	default:
		return fmt.Errorf("state: invalid state %q: must be \"new\" or \"established\"", t[keyState])
	}
	q.pinned = t[keyPinned]
	switch {
	case q.pinned == "":
	case !q.established:
		return errors.New("pinned: a new connection is not pinned yet: write state = \"established\"")
	case x.marks[q.pinned] == 0 || x.pinnedTo(x.marks[q.pinned]) == nil:
		return fmt.Errorf("pinned: there is no uplink %q: %s", q.pinned, x.doc.SuggestUplink(q.pinned))
	}
	return x.readTime(q, t[keyAt])
}
