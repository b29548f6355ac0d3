package healthcheck

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeProber answers as its targets are told to. All time is the test's.
type fakeProber struct {
	mu       sync.Mutex
	answers  map[string]fakeAnswer
	sent     map[string]int // probes begun, by uplink
	times    map[string][]time.Duration
	epoch    time.Time
	released []string
	active   int
}

// fakeAnswer: after the delay comes the error, or the answer. silent: nothing comes.
type fakeAnswer struct {
	delay  time.Duration
	err    error
	silent bool
}

var silence = fakeAnswer{silent: true}

func newFakeProber() *fakeProber {
	return &fakeProber{answers: map[string]fakeAnswer{}, sent: map[string]int{}, times: map[string][]time.Duration{}, epoch: time.Now()}
}

func (p *fakeProber) set(target string, a fakeAnswer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[target] = a
}

func (p *fakeProber) Probe(ctx context.Context, c Config, target string) (time.Duration, error) {
	p.mu.Lock()
	a := p.answers[target]
	p.sent[c.Uplink]++
	p.times[c.Uplink] = append(p.times[c.Uplink], time.Since(p.epoch))
	p.active++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.active--
		p.mu.Unlock()
	}()
	if a.silent {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	select {
	case <-time.After(a.delay):
		return a.delay, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (p *fakeProber) Release(uplink string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.released = append(p.released, uplink)
}

func (p *fakeProber) count(uplink string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent[uplink]
}

// bench is a running monitor in a bubble of its own time.
type bench struct {
	*Monitor
	t     *testing.T
	probe *fakeProber
	epoch time.Time
	mu    sync.Mutex
	log   []string
}

// inBubble runs a test with a monitor of these uplinks. When it ends, nothing of the monitor may be
// left: the bubble sees to that.
func inBubble(t *testing.T, configs []Config, initial map[UplinkVersion]Status, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newFakeProber()
		b := &bench{Monitor: NewMonitor(p), t: t, probe: p, epoch: time.Now()}
		b.Set(configs, initial)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		var reader sync.WaitGroup
		reader.Go(func() {
			for e := range b.Events() {
				b.mu.Lock()
				b.log = append(b.log, fmt.Sprintf("%s:%s>%s", e.Uplink, e.From, e.To))
				b.mu.Unlock()
			}
		})
		f(b)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		reader.Wait()
		if p.active != 0 {
			t.Errorf("Run ended before %d probes", p.active)
		}
	})
}

// events lets time pass and returns the events of that time.
func (b *bench) events(d time.Duration) []string {
	time.Sleep(d)
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	log := b.log
	b.log = nil
	return log
}

// after lets time pass and compares the events of that time.
func (b *bench) after(d time.Duration, want ...string) {
	b.t.Helper()
	if got := b.events(d); !slices.Equal(got, want) {
		b.t.Errorf("after %v: events %q, want %q", time.Since(b.epoch), got, want)
	}
}

// unordered is after for events of several uplinks.
func (b *bench) unordered(d time.Duration, want ...string) {
	b.t.Helper()
	got := b.events(d)
	if slices.Sort(got); !slices.Equal(got, want) {
		b.t.Errorf("after %v: events %q, want %q", time.Since(b.epoch), got, want)
	}
}

func (b *bench) state(uplink string) State {
	for _, s := range b.Statuses() {
		if s.Uplink == uplink {
			return s.State
		}
	}
	return ""
}

func checked(name string, targets ...string) Config {
	c := pingConfig()
	c.Uplink, c.Interface, c.Targets = name, "if-"+name, targets
	return c
}
