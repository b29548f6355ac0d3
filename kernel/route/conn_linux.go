package route

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/internal/fault"
)

// dumpPatience is how long a dump is repeated that was interrupted by a change (NLM_F_DUMP_INTR):
// while many addresses change, half of all dumps of addresses are interrupted.
const dumpPatience = time.Second

// ErrInterrupted means that the list kept changing for dumpPatience.
var ErrInterrupted = errors.New("a change interrupted the listing")

// untilWhole repeats a listing until no change interrupted it.
func untilWhole[T any](list func() (T, error)) (T, error) {
	for end := time.Now().Add(dumpPatience); ; {
		all, err := list()
		if !errors.Is(err, ErrInterrupted) || time.Now().After(end) {
			return all, err
		}
	}
}

// Conn is a connection to the network namespace in which Open was called. Only one goroutine may
// use it at a time.
type Conn struct {
	// socket is of route netlink (rtnetlink(7)), seq the number of the last request.
	socket int
	seq    uint32
	// inet asks for interface names and indexes by ioctl (netdevice(7)), at a tenth of the cost of
	// a link dump.
	inet int
	// names caches the interface names of the list that is being read; nil otherwise.
	names map[uint32]string
	// buffer receives the parts of dumps.
	buffer []byte
	// gateways are those that the last host facts were read for, as far as main's routes decide
	// whether the kernel takes them.
	gateways *atomic.Pointer[[]netip.Addr]
}

// Open connects to the current network namespace, that of the calling thread.
func Open() (c *Conn, err error) {
	c = &Conn{inet: -1, gateways: &atomic.Pointer[[]netip.Addr]{}}
	if c.socket, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("opening a route netlink socket: %w", err)
	}
	if err := c.setUp(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// setUp enables error texts (Linux 4.12), and dumps that the kernel filters and checks (Linux
// 4.20): without the latter a dump of one table returns all tables.
func (c *Conn) setUp() (err error) {
	if err := unix.Bind(c.socket, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("binding a route netlink socket: %w", err)
	}
	if err := unix.SetsockoptInt(c.socket, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1); err != nil {
		return fmt.Errorf("enabling error texts of route netlink: %w", err)
	}
	if err := unix.SetsockoptInt(c.socket, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		return fmt.Errorf("enabling strict checking of route netlink (needs Linux 4.20 or newer): %w", err)
	}
	if c.inet, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("opening an inet socket: %w", err)
	}
	return nil
}

// Close closes the sockets.
func (c *Conn) Close() error {
	err := unix.Close(c.socket)
	if c.inet >= 0 {
		err = errors.Join(err, unix.Close(c.inet))
	}
	return err
}

// port is the socket's address, as messages about its changes name it.
func (c *Conn) port() (uint32, error) {
	addr, err := unix.Getsockname(c.socket)
	if err != nil {
		return 0, fmt.Errorf("asking for a netlink port: %w", err)
	}
	own, _ := addr.(*unix.SockaddrNetlink)
	return own.Pid, nil
}

// request sends one message of the given type and body, and waits for the kernel's answer to it.
func (c *Conn) request(typ, flags int, body []byte) error {
	if err := fault.At("before a change of routes or rules"); err != nil {
		return err
	}
	_, err := c.ask(typ, flags|unix.NLM_F_ACK, 0, body)
	return cmp.Or(err, fault.At("after a change of routes or rules"))
}

// linkIndex returns the interface's index; the error names the interface.
func (c *Conn) linkIndex(name string) (uint32, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("interface %q: %w", name, err)
	}
	if err := unix.IoctlIfreq(c.inet, unix.SIOCGIFINDEX, req); err != nil {
		return 0, fmt.Errorf("interface %s: %w", name, err)
	}
	return req.Uint32(), nil
}

// LinkName returns the name of the interface with an index, or "ifN" if there is none.
func (c *Conn) LinkName(index uint32) string { return c.linkName(index) }

// linkName returns the interface's name, or "ifN" if the interface has disappeared since.
func (c *Conn) linkName(index uint32) string {
	name, known := c.names[index]
	if !known {
		name = c.askLinkName(index)
	}
	if c.names != nil {
		c.names[index] = name
	}
	return name
}

func (c *Conn) askLinkName(index uint32) string {
	req, err := unix.NewIfreq("x")
	if err == nil {
		req.SetUint32(index)
		err = unix.IoctlIfreq(c.inet, unix.SIOCGIFNAME, req)
	}
	if err != nil {
		return fmt.Sprintf("if%d", index)
	}
	return req.Name()
}

// addressFamily returns AF_INET or AF_INET6.
func addressFamily(f plan.Family) uint8 {
	if f == plan.IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// planFamily returns 0 for families that pbr does not know.
func planFamily(af uint8) plan.Family {
	switch af {
	case unix.AF_INET:
		return plan.IPv4
	case unix.AF_INET6:
		return plan.IPv6
	}
	return 0
}

// absent reports whether an error means that the kernel has no such object.
func absent(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) }
