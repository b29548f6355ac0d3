package dataplane

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// sink drops everything that arrives at devices, as early as tc can, and counts the test's frames
// by device.
type sink struct {
	program *ebpf.Program
	counts  *ebpf.Map
}

// sinkDevices bounds the numbers of devices that are told apart, a power of two.
const sinkDevices = 16

func newSink() (*sink, error) {
	counts, err := oneValue("arrived", [sinkDevices]uint64{})
	if err != nil {
		return nil, err
	}
	const tcActShot = 2
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "sink", Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{
			// struct __sk_buff: len, and ifindex at 40
			asm.LoadMem(asm.R2, asm.R1, 0, asm.Word),
			asm.JEq.Imm(asm.R2, frame4Len, "count"),
			asm.JEq.Imm(asm.R2, paddedLen, "count"), // a flowtable does not cut padding off
			asm.JNE.Imm(asm.R2, frame6Len, "drop"),
			asm.LoadMem(asm.R2, asm.R1, 40, asm.Word).WithSymbol("count"),
			asm.And.Imm(asm.R2, sinkDevices-1),
			asm.Mul.Imm(asm.R2, 8),
			asm.LoadMapValue(asm.R3, counts.FD(), 0),
			asm.Add.Reg(asm.R3, asm.R2),
			asm.Mov.Imm(asm.R4, 1),
			asm.AddAtomic.Mem(asm.R3, asm.R4, asm.DWord, 0),
			asm.Mov.Imm(asm.R0, tcActShot).WithSymbol("drop"),
			asm.Return(),
		},
	})
	if err != nil {
		counts.Close()
		return nil, fmt.Errorf("loading the sink: %w", err)
	}
	return &sink{p, counts}, nil
}

func (s *sink) close() {
	s.program.Close()
	s.counts.Close()
}

// attach lets the sink drop what arrives at a device of the calling thread's namespace.
func (s *sink) attach(ifindex int) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("attaching the sink: %w", err)
	}
	defer h.Close()
	clsact := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	if err := h.QdiscAdd(clsact); err != nil {
		return fmt.Errorf("adding clsact to device %d: %w", ifindex, err)
	}
	filter := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1,
		},
		Fd: s.program.FD(), Name: "sink", DirectAction: true,
	}
	if err := h.FilterAdd(filter); err != nil {
		return fmt.Errorf("adding the sink to device %d: %w", ifindex, err)
	}
	return nil
}

// arrived returns how many frames came to each device so far.
func (s *sink) arrived() (counts [sinkDevices]uint64, err error) {
	err = s.counts.Lookup(uint32(0), &counts)
	return counts, err
}
