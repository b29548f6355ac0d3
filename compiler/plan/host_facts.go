package plan

import (
	"net/netip"
	"slices"
	"time"
)

// HostFacts is what a plan needs to know of the machine it is for. The kernel side reads it,
// the compiler takes it as a value. The zero value (Known false) is "any machine": every
// interface counts as there and up, and what depends on addresses becomes Plan.Dynamic.
type HostFacts struct {
	Known bool
	// Links are the interfaces by name.
	Links map[string]Link
	// Connected are the networks that main reaches directly (scope link routes), sorted.
	Connected []netip.Prefix
	// Refused are those of Needs.Gateways, and of the gateways that main has for interfaces, that
	// the kernel takes in no route.
	Refused []Refusal
	// NoIPv6 is set on a kernel without IPv6: nothing of that family can be sent.
	NoIPv6 bool
	// DSCPRules is set when ip rules can select by DSCP (kernel 6.13 and later). Older kernels
	// accept the attribute and ignore it, so that the rule would catch everything.
	DSCPRules bool
	// Now is the time that schedules are computed at, Zone the zone of those that name none. A Now
	// that is zero leaves schedules empty. ClockBehind says that the machine's clock is behind Now,
	// so that nobody knows the time.
	Now         time.Time
	Zone        *time.Location
	ClockBehind bool
	// Cgroups are the inode numbers of the control groups in each set of Needs.Cgroups, sorted;
	// none for those that do not exist. NoCgroups says that no tree of cgroup v2 is mounted, if
	// Needs asked for some.
	Cgroups   map[string][]uint64
	NoCgroups bool
	// NoFlowtables is set on a kernel that cannot offload, if Needs asked for it.
	NoFlowtables bool
	// Tap is how DNS answers can be read on their way, if Needs asked for it; TapReason tells why
	// not in a better way.
	Tap       Tap
	TapReason string
}

// Tap is a way of reading DNS answers. The zero value is the best one, and that of a plan for any
// machine.
type Tap uint8

const (
	// TapQueue holds them by nftables' queue expression.
	TapQueue Tap = iota
	// TapTarget holds them by the NFQUEUE target of xtables.
	TapTarget
	// TapLog copies them: the first connection to an address may be too quick.
	TapLog
	// TapNone: they cannot be read.
	TapNone
)

// Holds reports whether answers wait until what they teach is known.
func (t Tap) Holds() bool { return t == TapQueue || t == TapTarget }

// Needs is what a compiler wants to know of a machine beside what costs next to nothing to find
// out.
type Needs struct {
	// Gateways are next hops that the policy names: whether the kernel takes them.
	Gateways []NextHop
	// Flowtables: whether the kernel has them. Hardware: which interfaces can offload by
	// themselves, too.
	Flowtables, Hardware bool
	// Clock: the time and the zone, for schedules.
	Clock bool
	// Cgroups are sets of control groups.
	Cgroups []CgroupSource
	// Queue is the number of the queue and log group that DNS answers are read by, 0 for no need of
	// them.
	Queue uint16
}

// OfRoutes returns those of n that decide what is read with the routes.
func (n *Needs) OfRoutes() Needs { return Needs{Gateways: n.Gateways} }

// Link is one interface.
type Link struct {
	// Up is the administrative state (IFF_UP): routes cannot be added over a link that is down.
	Up bool
	// Carrier means that the cable or tunnel is connected (IFF_LOWER_UP). Routes can be added
	// without it.
	Carrier bool
	// NoIPv6 is set when the interface has IPv6 disabled.
	NoIPv6 bool
	// Loopback is set on lo, Port on an interface that belongs to another, as to a bridge: that one
	// receives its packets.
	Loopback, Port bool
	// Below are the interfaces that carry this one's frames, sorted: a bridge's ports, a VLAN's
	// parent.
	Below []string
	// Hardware means that it can offload by itself, if Needs asked for it.
	Hardware bool
	// Addrs are its global and site addresses, both families, sorted, deprecated ones among them;
	// no link-local, no tentative ones.
	Addrs []netip.Addr
	// Networks are those of HostFacts.Connected that main reaches directly over this interface,
	// sorted.
	Networks []netip.Prefix
	// Tentative6 means that an IPv6 address is about to come: its uniqueness is being tested (RFC
	// 4862, 5.4).
	Tentative6 bool
	// Gateway4 and Gateway6 are the gateways of main's best default route over this interface;
	// invalid when there is none.
	Gateway4, Gateway6 netip.Addr
	// OnlinkDefault4/6 mean that main has a default route over this interface without a gateway
	// (point-to-point).
	OnlinkDefault4, OnlinkDefault6 bool
}

// Gateway returns the gateway that main has for the interface; invalid, but found, if main's
// default route there is a device route.
func (l Link) Gateway(family Family) (via netip.Addr, found bool) {
	if family == IPv4 {
		return l.Gateway4, l.Gateway4.IsValid() || l.OnlinkDefault4
	}
	return l.Gateway6, l.Gateway6.IsValid() || l.OnlinkDefault6
}

// Addressed reports whether the interface has an address of a family.
func (l Link) Addressed(family Family) bool {
	return slices.ContainsFunc(l.Addrs, func(a netip.Addr) bool { return FamilyOf(a) == family })
}
