package lab

import (
	"encoding/binary"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// routerAdvertisement is the ICMPv6 type (RFC 4861, 4.2).
const routerAdvertisement = 134

// announcedLifetime is how long, in seconds, the announced default route lasts.
const announcedLifetime = 1800

// AnnounceRouter sends one router advertisement over an interface of the host's, which makes it
// everybody's default router there.
func (h *Host) AnnounceRouter(dev string) error {
	var err error
	h.Do(func() { err = announce(dev) })
	if err != nil {
		return fmt.Errorf("announcing %s as a router by %s: %w", h.Name, dev, err)
	}
	return nil
}

func announce(dev string) error {
	nic, err := net.InterfaceByName(dev)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// Neighbours take it with the highest hop limit only (RFC 4861, 6.1.2).
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		return err
	}
	b := make([]byte, 16)
	b[0], b[4] = routerAdvertisement, 64
	binary.BigEndian.PutUint16(b[6:], announcedLifetime)
	to := &unix.SockaddrInet6{ZoneId: uint32(nic.Index)}
	copy(to.Addr[:], net.IPv6linklocalallnodes)
	return unix.Sendto(fd, b, 0, to)
}
