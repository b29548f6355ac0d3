package conntrack

import (
	"errors"
	"fmt"
	"net/netip"

	lib "github.com/ti-mo/conntrack"
	"github.com/ti-mo/netfilter"
	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/route"
)

// Delete deletes connections, so that their next packet starts a new one over another uplink. It
// returns about how many, as the difference of conntrack's count before and after: connections that
// came and went meanwhile are included, and offloaded ones are not, because the flowtable releases
// them a second later. It sends one request for each mark, however many connections there are, and
// three for each IPv4 address. It may run concurrently with everything else. After an error it
// continues with the rest.
func Delete(flushes []Flush) (int, error) {
	for _, flush := range flushes {
		if err := flush.check(); err != nil {
			return 0, err
		}
	}
	byAddress, err := route.KernelAtLeast(6, 11)
	if err != nil {
		return 0, err
	}
	c, err := dial()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	before, err := c.StatsGlobal()
	if err != nil {
		return 0, fmt.Errorf("counting connections: %w", err)
	}
	errs := []error{flushMarks(c, flushes)}
	if byAddress {
		errs = append(errs, flushAddresses(c, flushes))
	} else {
		errs = append(errs, flushOneByOne(c, flushes))
	}
	after, err := c.StatsGlobal()
	if err != nil {
		return 0, errors.Join(append(errs, fmt.Errorf("counting connections: %w", err))...)
	}
	return max(0, int(before.Entries)-int(after.Entries)), errors.Join(errs...)
}

// check rejects what would delete more than an uplink's connections: the kernel takes mark 0 under
// mask 0, or no address, for all connections.
func (c *Flush) check() error {
	if c.Mask == 0 || (c.Mark|c.AddrMark)&^c.Mask != 0 {
		return fmt.Errorf("deleting connections with mark 0x%x/0x%x: the mask has no such mark", c.Mark, c.Mask)
	}
	for _, a := range c.Addrs {
		if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() {
			return fmt.Errorf("deleting connections of address %s: no uplink can have this address", a)
		}
	}
	return nil
}

// protoFamilies are the IP versions as netfilter numbers them (NFPROTO_*, linux/netfilter.h).
var protoFamilies = map[plan.Family]netfilter.ProtoFamily{plan.IPv4: netfilter.ProtoIPv4, plan.IPv6: netfilter.ProtoIPv6}

// flushMarks deletes the connections pinned by a mark.
func flushMarks(c *lib.Conn, flushes []Flush) error {
	var errs []error
	for _, flush := range flushes {
		if flush.Mark == 0 {
			continue
		}
		filter := lib.NewFilter().Mark(flush.Mark).MarkMask(flush.Mask)
		if family, restricted := protoFamilies[flush.Family]; restricted {
			filter = filter.Family(family)
		}
		if err := c.FlushFilter(filter); err != nil {
			errs = append(errs, fmt.Errorf("deleting connections with mark 0x%x/0x%x: %w", flush.Mark, flush.Mask, err))
		}
	}
	return errors.Join(errs...)
}

// flushAddresses deletes the unmarked connections of addresses: for IPv4 with the kernel's own
// filter, otherwise one by one, as on kernels that lack the filter although their version should
// have it. For IPv6 the kernel's filter is wrong up to at least Linux 6.18: it selects the
// connections that do not have the address (ctnetlink_filter_match_tuple inverts the result of
// ipv6_addr_cmp).
func flushAddresses(c *lib.Conn, flushes []Flush) error {
	var errs []error
	var rest []Flush
	for _, flush := range flushes {
		for _, addr := range flush.Addrs {
			if addr = addr.Unmap(); addr.Is6() {
				rest = append(rest, Flush{Mask: flush.Mask, Addrs: []netip.Addr{addr}, AddrMark: flush.AddrMark})
				continue
			}
			err := flushAddress(flush.AddrMark, flush.Mask, addr)
			switch {
			case errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP):
				rest = append(rest, Flush{Mask: flush.Mask, Addrs: []netip.Addr{addr}, AddrMark: flush.AddrMark})
			case err != nil:
				errs = append(errs, fmt.Errorf("deleting connections of address %s with mark 0x%x/0x%x: %w", addr,
					flush.AddrMark, flush.Mask, err))
			}
		}
	}
	return errors.Join(append(errs, flushOneByOne(c, rest))...)
}

// scope limits one listing of flushOneByOne.
type scope struct {
	mark, mask uint32
	family     netfilter.ProtoFamily
}

// flushOneByOne is flushAddresses for kernels without such a filter.
func flushOneByOne(c *lib.Conn, flushes []Flush) error {
	scopes := map[scope]map[netip.Addr]bool{}
	for _, flush := range flushes {
		for _, addr := range flush.Addrs {
			addr = addr.Unmap()
			s := scope{flush.AddrMark, flush.Mask, netfilter.ProtoIPv4}
			if addr.Is6() {
				s.family = netfilter.ProtoIPv6
			}
			if scopes[s] == nil {
				scopes[s] = map[netip.Addr]bool{}
			}
			scopes[s][addr] = true
		}
	}
	for s, addrs := range scopes {
		flows, err := c.DumpFilter(lib.NewFilter().Family(s.family).Mark(s.mark).MarkMask(s.mask), nil)
		if err != nil {
			return fmt.Errorf("listing connections with mark 0x%x/0x%x: %w", s.mark, s.mask, err)
		}
		for _, f := range flows {
			if f.Mark&s.mask != s.mark || !(addrs[f.TupleReply.IP.DestinationAddress] ||
				addrs[f.TupleOrig.IP.DestinationAddress] || addrs[f.TupleOrig.IP.SourceAddress]) {
				continue
			}
			id := lib.Flow{ID: f.ID, Zone: f.Zone, TupleOrig: f.TupleOrig, TupleReply: f.TupleReply}
			if err := c.Delete(id); err != nil && !errors.Is(err, unix.ENOENT) { // it has ended meanwhile
				return fmt.Errorf("deleting connection %v: %w", f.TupleOrig, err)
			}
		}
	}
	return nil
}
