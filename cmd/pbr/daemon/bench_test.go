package daemon

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
)

// bench is a Watcher with fakes around it.
type bench struct {
	t      *testing.T
	kernel *fakeKernel
	prober *fakeProber
	events chan KernelEvent
	hangUp chan struct{}
	log    *safeBuffer
	state  string
	booted time.Time
	w      *Watcher
	stop   func()
	// trials and waits are Options'.
	trials Trials
	waits  *Trial
	// held is the policy that the kernel holds when the Watcher starts.
	held string
	// lasting is Options'.
	lasting Lasting
	// switched is Options'.
	switched func(*Switches) (int, error)

	// hang keeps a reload reading until it is closed.
	hang chan struct{}
	// readLists and changed are Options'.
	readLists func(*policy.Document, []string) (*policy.Document, error)
	changed   chan ListChange

	mu     sync.Mutex
	policy string // what a reload reads
	hooks  []HookEvent
	notify []string
}

// safeBuffer is a buffer for several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newBench(t *testing.T, text string) *bench {
	b := &bench{
		t: t, kernel: &fakeKernel{host: usualMachine()}, prober: &fakeProber{dead: map[string]bool{},
			lossy: map[string]int{}, sent: map[string]int{}},
		events: make(chan KernelEvent), hangUp: make(chan struct{}), changed: make(chan ListChange), policy: text, log: &safeBuffer{},
		state: filepath.Join(t.TempDir(), "health.json"), booted: time.Now(), stop: func() {},
	}
	return b
}

func (b *bench) options() Options {
	return Options{
		Policy: parse(b.t, b.policy), Reload: func() (*policy.Document, error) {
			if b.hang != nil {
				<-b.hang
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			return parsePolicy(b.policy)
		},
		Kernel: b.kernel, Monitor: healthcheck.NewMonitor(b.prober), KernelEvents: b.events, HangUp: b.hangUp,
		StateFile: b.state, Uptime: func() time.Duration { return time.Since(b.booted) }, Log: slog.New(slog.NewTextHandler(b.log, nil)),
		Hook: func(e HookEvent) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.hooks = append(b.hooks, e)
		},
		Notify: func(s string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.notify = append(b.notify, s)
		},
		Watchdog: time.Second, Trials: b.trials, Waits: b.waits,
		Held: func() (*policy.Document, error) { return parsePolicy(b.held) }, Lasting: b.lasting, Switched: b.switched,
		ReadLists: b.readLists, ListsChanged: b.changed,
	}
}

// start runs a Watcher until stop is called, which waits for its end.
func (b *bench) start() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b.w = New(b.options())
	ended := make(chan error, 1)
	go func() { ended <- b.w.Run(ctx) }()
	b.stop = func() {
		b.t.Helper()
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("watch ended: %v", err)
		}
		b.stop = func() {}
	}
	synctest.Wait()
}

// reload makes a policy the file's and asks for it.
func (b *bench) reload(text string) {
	b.mu.Lock()
	b.policy = text
	b.mu.Unlock()
	b.hangUp <- struct{}{}
	synctest.Wait()
}

// told returns what the service manager was told, and the hook.
func (b *bench) told() (notify []string, hooks []HookEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.notify), slices.Clone(b.hooks)
}

// in runs a test with a bench in a bubble of fake time.
func in(t *testing.T, text string, f func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, text)
		b.start()
		f(t, b)
		b.stop()
	})
}

// sleep lets time pass.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// routes returns which interfaces a table's IPv4 routes use, best first, as "wan1 wan2".
func (b *bench) routes(table string) string {
	b.t.Helper()
	b.kernel.mu.Lock()
	defer b.kernel.mu.Unlock()
	var id uint32
	for _, n := range b.kernel.holds.Numbers {
		if n.Name == table {
			id = n.Table
		}
	}
	var devs []string
	for _, r := range b.kernel.holds.Routes {
		if r.Table != id || r.Family != plan.IPv4 {
			continue
		}
		for _, h := range r.Hops {
			devs = append(devs, h.Dev)
		}
		if r.Kind == plan.Unreachable {
			devs = append(devs, "unreachable")
		}
	}
	return strings.Join(devs, " ")
}

func (b *bench) wantRoutes(when, table, want string) {
	b.t.Helper()
	if got := b.routes(table); got != want {
		b.t.Errorf("%s: table %s goes by %q, not %q\n%s", when, table, got, want, b.log)
	}
}

// wantFlushed compares what was flushed since the last call: "4 isp1 192.0.2.2" per flush, marks by
// their names.
func (b *bench) wantFlushed(when string, want ...string) {
	b.t.Helper()
	b.kernel.mu.Lock()
	defer b.kernel.mu.Unlock()
	var got []string
	for _, c := range b.kernel.flushes {
		words := []string{fmt.Sprint(c.Family)}
		for _, m := range c.Marks {
			for _, n := range b.kernel.holds.Numbers {
				if n.Mark == m {
					words = append(words, n.Name)
				}
			}
		}
		for _, a := range c.Addrs {
			words = append(words, a.String())
		}
		got = append(got, strings.Join(words, " "))
	}
	b.kernel.flushes = nil
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		b.t.Errorf("%s: flushed %q, not %q\n%s", when, got, want, b.log)
	}
}

// wantPins compares what was pinned since the last call: "isp1 [192.0.2.2]" per uplink.
func (b *bench) wantPins(when string, want ...string) {
	b.t.Helper()
	b.kernel.mu.Lock()
	defer b.kernel.mu.Unlock()
	var got []string
	for _, p := range b.kernel.pins {
		for _, n := range b.kernel.holds.Numbers {
			if n.Mark == p.Mark {
				got = append(got, fmt.Sprintf("%s %v", n.Name, p.Addrs))
			}
		}
	}
	b.kernel.pins = nil
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		b.t.Errorf("%s: pinned %q, not %q\n%s", when, got, want, b.log)
	}
}
