package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wireBuffer is the receive buffer of a tap: room for some ten thousand frames, each of which
// the kernel accounts with about a kilobyte.
const wireBuffer = 32 << 20

// Wire is one cable of the router's, held by its far end: frames go in, and every frame that
// the router sent over it comes out.
type Wire struct {
	// Host is the name of the host at the far end, Iface the router's interface.
	Host, Iface string
	// MAC is the far end's address, RouterMAC the router's.
	MAC, RouterMAC [6]byte

	fd, sentinelFd int
	sentinel       uint64
}

// Wires opens all cables of a silent network, by the name of the host at the far end.
func (n *Net) Wires() map[string]*Wire {
	n.t.Helper()
	wires := map[string]*Wire{}
	open := func(h *Host, iface string) {
		w, err := n.openWire(h, iface)
		if err != nil {
			n.t.Fatalf("opening the cable of %s: %v", h.Name, err)
		}
		wires[h.Name] = w
	}
	for _, s := range n.Spec.LANs {
		open(n.LANs[s.Name], s.Iface)
	}
	for _, s := range n.Spec.ISPs {
		open(n.ISPs[s.Name], s.Iface)
	}
	return wires
}

func (n *Net) openWire(h *Host, iface string) (*Wire, error) {
	w := &Wire{Host: h.Name, Iface: iface, fd: -1, sentinelFd: -1}
	n.t.Cleanup(func() {
		_ = unix.Close(w.fd)
		_ = unix.Close(w.sentinelFd)
	})
	var err error
	h.Do(func() { w.fd, w.MAC, err = openTap(uplinkEnd, unix.ETH_P_ALL) })
	if err != nil {
		return nil, err
	}
	n.Router.Do(func() { w.sentinelFd, w.RouterMAC, err = openTap(iface, etherSentinel) })
	return w, err
}

// openTap opens a packet socket (packet(7)) for incoming frames of one ether type on an interface.
func openTap(dev string, etherType int) (fd int, mac [6]byte, err error) {
	fd = -1
	nic, err := net.InterfaceByName(dev)
	if err != nil {
		return fd, mac, fmt.Errorf("looking up %s: %w", dev, err)
	}
	copy(mac[:], nic.HardwareAddr)
	// Protocol 0 until the socket is bound: no frames of other interfaces get in.
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fd, mac, fmt.Errorf("opening a packet socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, wireBuffer),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: nic.Index, Protocol: bigEndian16(uint16(etherType))}),
	)
	if err != nil {
		return fd, mac, fmt.Errorf("binding a packet socket to %s: %w", dev, err)
	}
	return fd, mac, nil
}

func bigEndian16(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// Send puts a packet on the cable, towards the router. Missing MAC addresses are filled in.
func (w *Wire) Send(p Packet) error {
	if p.SrcMAC == ([6]byte{}) {
		p.SrcMAC = w.MAC
	}
	p.DstMAC = w.RouterMAC
	if _, err := unix.Write(w.fd, p.Frame()); err != nil {
		return fmt.Errorf("sending %s from %s: %w", p, w.Host, err)
	}
	return nil
}

// Drain returns the packets of the lab's own making that came out of the cable since the last
// Drain.
func (w *Wire) Drain() ([]Packet, error) {
	var got []Packet
	buf := make([]byte, 2048)
	for {
		n, _, err := unix.Recvfrom(w.fd, buf, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return got, w.lost()
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return got, fmt.Errorf("reading the cable of %s: %w", w.Host, err)
		}
		if p, ok := parsePacket(buf[:n]); ok {
			got = append(got, p)
		}
	}
}

// lost is an error if the tap overflowed: then nothing can be said of missing packets.
func (w *Wire) lost() error {
	st, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return fmt.Errorf("reading the statistics of %s's tap: %w", w.Host, err)
	}
	if st.Drops != 0 {
		return fmt.Errorf("the tap of %s lost %d frames", w.Host, st.Drops)
	}
	return nil
}

// deliveryRounds is how many queues a packet crosses at most after Send: into the router, out of
// it.
const deliveryRounds = 3

// AwaitDelivery returns when every packet sent before, over any cable, has reached its end or was
// dropped. It must be called under Pinned, as the sends were: a cable hands its frames to the
// receive queue of the CPU that sends them, which is first in, first out. A sentinel sent now is
// behind all frames sent before; when it comes out the router has dealt with them and what it sent
// on waits in the same queue, ahead of the next sentinel.
func (w *Wire) AwaitDelivery() error {
	buf := make([]byte, 64)
	for range deliveryRounds {
		w.sentinel++
		frame := make([]byte, 0, 60)
		frame = append(append(frame, w.RouterMAC[:]...), w.MAC[:]...)
		frame = binary.BigEndian.AppendUint16(frame, etherSentinel)
		frame = binary.BigEndian.AppendUint64(frame, w.sentinel)
		if _, err := unix.Write(w.fd, frame); err != nil {
			return fmt.Errorf("sending a sentinel from %s: %w", w.Host, err)
		}
		if err := w.awaitSentinel(buf); err != nil {
			return err
		}
	}
	return nil
}

func (w *Wire) awaitSentinel(buf []byte) error {
	for deadline := time.Now().Add(waitLimit); ; {
		n, _, err := unix.Recvfrom(w.sentinelFd, buf, 0)
		if err == nil && n >= 22 && binary.BigEndian.Uint64(buf[14:]) == w.sentinel {
			return nil
		}
		if err == nil || errors.Is(err, unix.EINTR) {
			continue
		}
		if !errors.Is(err, unix.EAGAIN) {
			return fmt.Errorf("waiting for the sentinel of %s: %w", w.Host, err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the sentinel of %s did not arrive within %v", w.Host, waitLimit)
		}
		fds := []unix.PollFd{{Fd: int32(w.sentinelFd), Events: unix.POLLIN}}
		_, _ = unix.Poll(fds, 100)
	}
}

// Pinned runs f on a thread that stays on one CPU; see AwaitDelivery.
func Pinned(t testing.TB, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the affinity ends with the thread
		err := pinThread()
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// pinThread keeps the calling thread on one of its CPUs. Which one does not matter; by chance,
// so that labs that work side by side share them.
func pinThread() error {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("reading the thread's CPUs: %w", err)
	}
	skip := rand.IntN(all.Count())
	for cpu := 0; ; cpu++ {
		if !all.IsSet(cpu) {
			continue
		}
		if skip == 0 {
			one.Set(cpu)
			break
		}
		skip--
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("keeping the thread on a CPU: %w", err)
	}
	return nil
}
