package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// SendUDP sends one UDP packet with an id from the host, as a user's and a group's. src may be
// invalid: the kernel chooses. It must be called under Pinned if AwaitDelivery is to cover it.
func (h *Host) SendUDP(src netip.Addr, sport uint16, dst netip.AddrPort, uid, gid uint32, id uint64) error {
	fd, err := h.udpSocket(dst.Addr().Is6(), uid, gid)
	if err != nil {
		return fmt.Errorf("opening a socket in %s: %w", h.Name, err)
	}
	defer unix.Close(fd)
	if !src.IsValid() {
		src = netip.IPv4Unspecified()
		if dst.Addr().Is6() {
			src = netip.IPv6Unspecified()
		}
	}
	// Between fork and exec a program that another test starts holds the sockets that were open.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("sharing the port in %s: %w", h.Name, err)
	}
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(src, sport))); err != nil {
		return fmt.Errorf("binding to %s port %d in %s: %w", src, sport, h.Name, err)
	}
	if err := unix.Connect(fd, sockaddr(dst)); err != nil {
		return fmt.Errorf("connecting to %s from %s: %w", dst, h.Name, err)
	}
	if _, err := unix.Write(fd, Payload(id)); err != nil {
		return fmt.Errorf("sending to %s from %s: %w", dst, h.Name, err)
	}
	return nil
}

// udpSocket opens a socket of the host's that belongs to a user and a group.
func (h *Host) udpSocket(v6 bool, uid, gid uint32) (fd int, err error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	h.Do(func() {
		// Of this thread alone, and the thread ends with Do (setfsuid(2)). As another user it could
		// not change its group.
		if err = errors.Join(unix.Setfsgid(int(gid)), unix.Setfsuid(int(uid))); err == nil {
			fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		}
	})
	return fd, err
}

func sockaddr(ap netip.AddrPort) unix.Sockaddr {
	if ap.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ap.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}
}
