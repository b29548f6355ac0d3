package dataplane

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"pbr/integration/lab"
)

// batch is how many frames the kernel gives the device at once, as many as a network card's poll
// does (NAPI_POLL_WEIGHT).
const batch = 64

// mostFrames bounds the frames of all sources together: 40 MB.
const mostFrames = 1 << 19

// injector puts frames into a device from within the kernel (BPF_PROG_TEST_RUN, live frames).
type injector struct {
	program *ebpf.Program
	// frames is an array of all sources' frames, control one orders.
	frames, control *ebpf.Map
	used            int
	spans           map[source]span
}

// span is where a source's frames are.
type span struct{ first, count int }

// orders tells the program what to send; its layout is known to injectCode.
type orders struct {
	Next        uint64 // how many frames were sent, counted up by the program
	First, Mask uint32 // the span
}

func newInjector(t testing.TB) *injector {
	t.Helper()
	in := &injector{spans: map[source]span{}}
	var err error
	t.Cleanup(func() { in.close() })
	in.frames, err = ebpf.NewMap(&ebpf.MapSpec{Name: "frames", Type: ebpf.Array, KeySize: 4, ValueSize: paddedLen, MaxEntries: mostFrames})
	if err == nil {
		in.control, err = oneValue("control", orders{})
	}
	if err == nil {
		in.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
			Name: "inject", Type: ebpf.XDP, License: "GPL",
			Instructions: injectCode(in.frames.FD(), in.control.FD()),
		})
	}
	if err != nil {
		t.Fatalf("making the injector: %v", err)
	}
	in.anchor(t)
	return in
}

func (in *injector) close() {
	in.program.Close()
	in.control.Close()
	in.frames.Close()
}

// anchor attaches the program to a device that has no traffic. A program that is attached nowhere
// costs each run two changes of the kernel's XDP dispatcher, with tens of milliseconds for the
// grace period of each.
func (in *injector) anchor(t testing.TB) {
	t.Helper()
	h := lab.New(t).Host("anchor")
	h.IP("link add anchor index 11 type veth peer name other", "link set anchor up")
	var attached link.Link
	var err error
	h.Do(func() {
		attached, err = link.AttachXDP(link.XDPOptions{Program: in.program, Interface: 11, Flags: link.XDPDriverMode})
	})
	if err != nil {
		t.Fatalf("anchoring the injector: %v", err)
	}
	t.Cleanup(func() { attached.Close() })
}

// oneValue makes a map of one value.
func oneValue(name string, content any) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: name, Type: ebpf.Array, KeySize: 4, ValueSize: uint32(binary.Size(content)), MaxEntries: 1,
		Contents: []ebpf.MapKV{{Key: uint32(0), Value: content}},
	})
	if err != nil {
		return nil, fmt.Errorf("making map %s: %w", name, err)
	}
	return m, nil
}

// load makes a source's frames known; their number is a power of two.
func (in *injector) load(s source, frames [][paddedLen]byte) error {
	n := len(frames)
	if n == 0 || n&(n-1) != 0 || in.used+n > mostFrames {
		return fmt.Errorf("loading frames of %s: %d are not a power of two, or too many beside %d others", s.name, n, in.used)
	}
	keys := make([]uint32, n)
	for i := range keys {
		keys[i] = uint32(in.used + i)
	}
	if _, err := in.frames.BatchUpdate(keys, frames, nil); err != nil {
		return fmt.Errorf("loading frames of %s: %w", s.name, err)
	}
	in.spans[s] = span{in.used, n}
	in.used += n
	return nil
}

// injectCode writes the next frame, because the page that it is in has been through the router
// before, and passes it to the stack.
func injectCode(frames, control int) asm.Instructions {
	const xdpAborted, xdpPass = 0, 2
	code := asm.Instructions{
		// struct xdp_md: data, data_end
		asm.LoadMem(asm.R6, asm.R1, 0, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R6),
		asm.Add.Imm(asm.R4, paddedLen),
		asm.JGT.Reg(asm.R4, asm.R3, "abort"),
		asm.LoadMapValue(asm.R5, control, 0),
		asm.LoadMem(asm.R7, asm.R5, 0, asm.DWord),
		asm.Mov.Reg(asm.R8, asm.R7),
		asm.Add.Imm(asm.R8, 1),
		asm.StoreMem(asm.R5, 0, asm.R8, asm.DWord),
		asm.LoadMem(asm.R8, asm.R5, 12, asm.Word),
		asm.And.Reg(asm.R7, asm.R8),
		asm.LoadMem(asm.R8, asm.R5, 8, asm.Word),
		asm.Add.Reg(asm.R7, asm.R8),
		asm.StoreMem(asm.RFP, -4, asm.R7, asm.Word),
		asm.LoadMapPtr(asm.R1, frames),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "abort"),
	}
	for at := int16(0); at < paddedLen; at += 8 {
		code = append(code,
			asm.LoadMem(asm.R1, asm.R0, at, asm.DWord),
			asm.StoreMem(asm.R6, at, asm.R1, asm.DWord))
	}
	return append(code,
		asm.Mov.Imm(asm.R0, xdpPass),
		asm.Return(),
		asm.Mov.Imm(asm.R0, xdpAborted).WithSymbol("abort"),
		asm.Return())
}

// xdpContext is the kernel's struct xdp_md.
type xdpContext struct {
	Data, DataEnd, DataMeta, IngressIfindex, RxQueueIndex, EgressIfindex uint32
}

// run puts n frames of a source into its device in the calling thread's namespace, from the
// source's frame number first on. It returns the CPU time that the thread took for them: for making
// them, for all that the router does with them, and for the far end's dropping them; and how many
// they were, because a signal can have made the run start again.
func (in *injector) run(s source, first, n int) (took time.Duration, sent int, err error) {
	at, ok := in.spans[s]
	if !ok {
		return 0, 0, fmt.Errorf("injecting %s: its frames are not loaded", s.name)
	}
	o := orders{Next: uint64(first), First: uint32(at.first), Mask: uint32(at.count - 1)}
	if err := in.control.Put(uint32(0), o); err != nil {
		return 0, 0, fmt.Errorf("injecting %s: %w", s.name, err)
	}
	start := threadTime()
	_, err = in.program.Run(&ebpf.RunOptions{
		Data:      make([]byte, paddedLen),
		Context:   xdpContext{DataEnd: paddedLen, IngressIfindex: uint32(s.in)},
		Repeat:    uint32(n),
		Flags:     unix.BPF_F_TEST_XDP_LIVE_FRAMES,
		BatchSize: batch,
	})
	took = threadTime() - start
	if err == nil {
		err = in.control.Lookup(uint32(0), &o)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("injecting %d frames of %s: %w", n, s.name, err)
	}
	return took, int(o.Next) - first, nil
}

// threadTime is the CPU time of the calling thread.
func threadTime() time.Duration {
	var ts unix.Timespec
	// cannot fail: the clock exists, and so does ts
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}

// realTime is the priority of the measuring thread under SCHED_FIFO: before all ordinary threads,
// so that none of them empties the caches in between, and behind the kernel's own real-time threads
// (50).
const realTime = 5

// pin ties the calling thread, which must be the goroutine's own, to the last of the CPUs that it
// may use: interrupts tend to come to the first. It also schedules it by SCHED_FIFO. Measured on 2
// busy CPUs, the spread of a ratio falls from 0.10 to 0.01.
func pin() error {
	var allowed, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("reading CPU affinity: %w", err)
	}
	last := 0
	for cpu := range 8 * int(unsafe.Sizeof(allowed)) {
		if allowed.IsSet(cpu) {
			last = cpu
		}
	}
	one.Set(last)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("pinning a thread: %w", err)
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: realTime}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return fmt.Errorf("scheduling a thread by SCHED_FIFO: %w", err)
	}
	return nil
}
