package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// echoPort is where echo servers listen (RFC 862). The internet has more of them, up to lastEcho:
// Linux 6.1 drops a connection that is redirected if its addresses and ports are then those of
// another one, and a router that masquerades may use a port for several destinations.
const (
	echoPort = 7
	lastEcho = 22
)

// answerLimit is how long a client waits for an answer. Answers take well below a millisecond;
// only where a test expects silence is the whole limit ever spent. In an emulated guest a test can
// stand still for two seconds while another one starts systemd; with five, two more SYN are sent.
var answerLimit = func() time.Duration {
	if Emulated() {
		return 5 * time.Second
	}
	return 500 * time.Millisecond
}()

// Seen is what an echo server tells a client.
type Seen struct {
	// By is the name of the host that answered.
	By string
	// Src is the client's address and port as the server saw them.
	Src netip.AddrPort
}

// ServeEcho makes the host answer UDP and TCP on a port of all its addresses, until the lab goes.
func (h *Host) ServeEcho(port int) {
	h.lab.t.Helper()
	var udp *net.UDPConn
	var tcp *net.TCPListener
	var err error
	h.Do(func() {
		// One socket of the dual kind serves both families.
		if udp, err = net.ListenUDP("udp", &net.UDPAddr{Port: port}); err != nil {
			return
		}
		if err = receiveDestination(udp); err != nil {
			return
		}
		tcp, err = net.ListenTCP("tcp", &net.TCPAddr{Port: port})
	})
	if err != nil {
		h.lab.t.Fatalf("%s: listening on port %d: %v", h.Name, port, err)
	}
	h.lab.t.Cleanup(func() { _ = udp.Close(); _ = tcp.Close() })
	go h.serveUDP(udp)
	go h.serveTCP(tcp)
}

// ServeInternet makes the host answer UDP and TCP on every port of every address there is, except
// for VPNEndpoint's.
func (h *Host) ServeInternet() {
	h.lab.t.Helper()
	for port := echoPort; port <= lastEcho; port++ {
		h.ServeEcho(port)
	}
	h.NFT(fmt.Sprintf(`table inet internet {
	chain pre {
		type nat hook prerouting priority dstnat;
		ip daddr != %s meta l4proto { tcp, udp } redirect to :%d-%d
		meta nfproto ipv6 meta l4proto { tcp, udp } redirect to :%[2]d-%[3]d
	}
}
`, VPNEndpoint.Addr(), echoPort, lastEcho))
}

func (h *Host) answer(from netip.AddrPort) string {
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return fmt.Sprintf("%s %s\n", h.Name, from)
}

func (h *Host) serveUDP(conn *net.UDPConn) {
	buf, oob := make([]byte, 2048), make([]byte, 256)
	for {
		_, n, _, from, err := conn.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _, _ = conn.WriteMsgUDPAddrPort([]byte(h.answer(from)), answerFrom(oob[:n]), from)
		}
	}
}

// receiveDestination makes the kernel tell the address that each packet was sent to
// (RFC 3542, section 4; for IPv4 too, on a socket of both families).
func receiveDestination(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
	return errors.Join(err, serr)
}

// answerFrom makes the control message of an answer out of the one of the question: sent from the
// address that was asked, as every server with more than one address must do, by whatever interface
// the routes say.
func answerFrom(oob []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo {
			return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: [16]byte(m.Data)})
		}
	}
	return nil
}

func (h *Host) serveTCP(l *net.TCPListener) {
	for {
		conn, err := l.AcceptTCP()
		if err != nil {
			return
		}
		h.lab.t.Cleanup(func() { _ = conn.Close() })
		go func() {
			defer conn.Close()
			from := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
			for r := bufio.NewReader(conn); ; {
				if _, err := r.ReadString('\n'); err != nil {
					return
				}
				if _, err := io.WriteString(conn, h.answer(from)); err != nil {
					return
				}
			}
		}()
	}
}

// Conn is a client's connection to an echo server; ask it as often as you like.
type Conn struct {
	conn net.Conn
	r    *bufio.Reader
	tcp  bool
}

// DialOptions are the unusual wishes of a client.
type DialOptions struct {
	// Device binds the socket to an interface (SO_BINDTODEVICE).
	Device string
	// UID is the owner of the socket; 0 is root.
	UID int
	// Refusals ends the wait for an answer over UDP with any ICMP error, also with those that the
	// kernel keeps from programs that do not ask for them, since they may pass (IP_RECVERR).
	Refusals bool
}

// Dial connects to a server. network is "udp" or "tcp"; src may be invalid, then the kernel
// chooses. An unreachable destination or a silent one is an error, at once or after a limit.
func (h *Host) Dial(network string, src netip.Addr, dst netip.AddrPort, opt DialOptions) (*Conn, error) {
	d := net.Dialer{Timeout: answerLimit, Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			if src.IsValid() {
				// Ports are chosen at connect time, so that many clients can share an address.
				err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			}
			if err == nil && opt.Device != "" {
				err = unix.BindToDevice(int(fd), opt.Device)
			}
			if err == nil && opt.Refusals && dst.Addr().Is6() {
				err = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_RECVERR, 1)
			} else if err == nil && opt.Refusals {
				err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_RECVERR, 1)
			}
		})
		return errors.Join(cerr, err)
	}}
	if src.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(src, 0))
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(src, 0))
		}
	}
	var conn net.Conn
	var err error
	h.Do(func() {
		if opt.UID != 0 {
			// Of this thread alone, and the thread ends with Do (setfsuid(2)).
			if err = unix.Setfsuid(opt.UID); err != nil {
				return
			}
		}
		conn, err = d.Dial(network, dst.String())
	})
	if err != nil {
		return nil, fmt.Errorf("dialing %s %s from %s: %w", network, dst, h.Name, err)
	}
	h.lab.t.Cleanup(func() { _ = conn.Close() })
	return &Conn{conn: conn, r: bufio.NewReader(conn), tcp: network == "tcp"}, nil
}

// Ask sends one packet and returns what the server says of it.
func (c *Conn) Ask() (Seen, error) {
	if err := c.conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return Seen{}, err
	}
	if _, err := io.WriteString(c.conn, "?\n"); err != nil {
		return Seen{}, err
	}
	line, err := c.r.ReadString('\n')
	if err != nil {
		return Seen{}, err
	}
	by, src, _ := strings.Cut(strings.TrimSpace(line), " ")
	ap, err := netip.ParseAddrPort(src)
	if err != nil {
		return Seen{}, fmt.Errorf("answer %q: %w", line, err)
	}
	return Seen{By: by, Src: ap}, nil
}

// Send sends one packet and waits for nothing.
func (c *Conn) Send() error {
	if err := c.conn.SetWriteDeadline(time.Time{}); err != nil { // -- that of an Ask before
		return err
	}
	_, err := io.WriteString(c.conn, "?\n")
	return err
}

// LocalAddr is the client's own address and port.
func (c *Conn) LocalAddr() netip.AddrPort {
	ap := netip.MustParseAddrPort(c.conn.LocalAddr().String())
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Close ends the connection.
func (c *Conn) Close() { _ = c.conn.Close() }

// AskOnce dials, asks once and closes.
func (h *Host) AskOnce(network string, src netip.Addr, dst netip.AddrPort, opt DialOptions) (Seen, error) {
	c, err := h.Dial(network, src, dst, opt)
	if err != nil {
		return Seen{}, err
	}
	defer c.Close()
	return c.Ask()
}

// Ping sends one echo request with ping(8) and reports whether it was answered.
func (h *Host) Ping(src, dst netip.Addr) bool {
	args := []string{"-n", "-c", "1", "-W", "1"}
	if src.IsValid() {
		args = append(args, "-I", src.String())
	}
	return h.Exec("ping", append(args, dst.String())...).Code == 0
}
