package tap

import (
	"errors"
	"net"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/integration/steps"
	"pbr/kernel/nft"
)

// patience is how long a test waits for what comes at once on an idle machine.
const patience = 20 * time.Second

// namespace moves the test into a network namespace of its own, with lo up, in which datagrams to
// port 7 meet an action. The thread stays locked, so that it, and the namespace, end with the test.
func namespace(t *testing.T, action plan.Action) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("making a network namespace (needs root): %v", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c, err := nft.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	udp, seven := plan.KeyFromUint8(unix.IPPROTO_UDP), plan.KeyFromUint16(7)
	want := plan.Ruleset{Chains: []plan.Chain{{Name: "out", Kind: "filter", Hook: "output", Rules: []plan.ChainRule{{
		Matches: []plan.Match{{Field: plan.FieldL4Proto, From: udp, To: udp},
			{Field: plan.FieldDPort, From: seven, To: seven}}, Actions: []plan.Action{action},
	}}}}}
	live, err := c.Read(nil)
	if err == nil {
		_, err = c.Apply(live, &want, plan.Diff(&plan.Plan{}, &plan.Plan{Ruleset: want}))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// receiver is the socket that datagrams arrive at.
func receiver(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// send sends n datagrams, numbered.
func send(t *testing.T, to *net.UDPConn, n int) {
	t.Helper()
	from, err := net.DialUDP("udp4", nil, to.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for i := range n {
		if _, err := from.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// arrived counts the datagrams that arrive within some time, up to most.
func arrived(t *testing.T, at *net.UDPConn, most int, within time.Duration) (n int) {
	t.Helper()
	_ = at.SetReadDeadline(time.Now().Add(within))
	for b := make([]byte, 10); n < most; n++ {
		if _, err := at.Read(b); err != nil {
			break
		}
	}
	return n
}

// receive receives packets until there are n.
func receive(t *testing.T, l *Listener, n int) (got []byte) {
	t.Helper()
	for end := time.Now().Add(patience); len(got) < n && time.Now().Before(end); {
		if err := l.Receive(100*time.Millisecond, 64, func(p Packet) {
			if p.Hook != HookOutput {
				t.Errorf("a packet at hook %d", p.Hook)
			}
			got = append(got, p.Data[len(p.Data)-1])
		}); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func TestQueue(t *testing.T) {
	namespace(t, plan.QueueTarget{Number: 7})
	at := receiver(t)
	send(t, at, 3)
	if n := arrived(t, at, 3, patience); n != 3 {
		t.Fatalf("%d of 3 datagrams arrive without a listener", n)
	}
	l, err := OpenQueue(7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenQueue(7); !errors.Is(err, ErrTaken) {
		t.Errorf("a second listener: %v", err)
	}
	send(t, at, 3)
	if got := receive(t, l, 3); string(got) != "\x00\x01\x02" {
		t.Fatalf("got %v", got)
	}
	if n := arrived(t, at, 1, 50*time.Millisecond); n != 0 {
		t.Error("a datagram arrives before it is let go")
	}
	if err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	if n := arrived(t, at, 3, patience); n != 3 {
		t.Errorf("%d of 3 datagrams arrive", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = OpenQueue(7); err != nil {
		t.Errorf("after it was given back: %v", err)
	} else {
		l.Close()
	}
}

// What comes while a listener does nothing passes, once the queue is full.
func TestQueueFull(t *testing.T) {
	namespace(t, plan.QueueTarget{Number: 7})
	here := steps.InNamespace(t)
	l, err := OpenQueue(7)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := receiver(t)
	send(t, at, QueueLength+50)
	here.Run("what does not fit passes", func(t *testing.T) {
		if n := arrived(t, at, 50, patience); n != 50 {
			t.Errorf("%d of 50 datagrams pass a full queue", n)
		}
	})
	here.Run("what fits waits", func(t *testing.T) {
		if n := arrived(t, at, 1, 50*time.Millisecond); n != 0 {
			t.Error("a datagram of the queue passes")
		}
	})
}

func TestLog(t *testing.T) {
	namespace(t, plan.LogGroup{Group: 7})
	l, err := OpenLog(7)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := OpenLog(7); !errors.Is(err, ErrTaken) {
		t.Errorf("a second listener: %v", err)
	}
	at := receiver(t)
	send(t, at, 3)
	if got := receive(t, l, 3); string(got) != "\x00\x01\x02" {
		t.Fatalf("got %v", got)
	}
	if n := arrived(t, at, 3, patience); n != 3 || l.Accept() != nil {
		t.Errorf("%d of 3 datagrams arrive", n)
	}
}
