package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"
)

// maxJitter bounds the wait before an uplink's first round: the first verdict must not wait.
const maxJitter = 100 * time.Millisecond

// worker is the part of one uplink and version in a Monitor. All but its channels belong to the
// Monitor's lock.
type worker struct {
	uv     UplinkVersion
	states *stateMachine
	// generation changes when the answers that are under way no longer mean anything; abort ends
	// that round.
	generation int
	abort      context.CancelFunc
	reported   string
	// confirming means that the peers are being asked.
	confirming bool

	kicked chan struct{}
	cancel context.CancelFunc // ends it; nil if it was never started
	done   chan struct{}      // closed when it has ended
}

func newWorker(m *stateMachine) *worker {
	return &worker{uv: m.cfg.UplinkVersion, states: m, kicked: make(chan struct{}, 1), done: make(chan struct{})}
}

// kick makes the worker look at its machine and begin a round now.
func (w *worker) kick() {
	select {
	case w.kicked <- struct{}{}:
	default:
	}
}

// void makes the round that is under way count for nothing.
func (w *worker) void() {
	w.generation++
	if w.abort != nil {
		w.abort()
	}
}

// jitter spreads the rounds of many uplinks, the same way each time.
func jitter(uplink string, interval time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(uplink))
	return min(interval, maxJitter) * time.Duration(h.Sum32()%1000) / 1000
}

// roundSlot is how far apart rounds of different uplinks begin, if they do not begin together: each
// waking costs more than a probe.
const roundSlot = 20 * time.Millisecond

// slot is the next time at or after t when rounds begin. Frequent ones begin when they are due.
func (m *Monitor) slot(t time.Time, interval time.Duration) time.Time {
	if interval < 10*roundSlot {
		return t
	}
	if late := t.Sub(m.began) % roundSlot; late > 0 {
		t = t.Add(roundSlot - late)
	}
	return t
}

// work runs an uplink's rounds until ctx ends.
func (m *Monitor) work(ctx context.Context, w *worker) {
	m.mu.Lock()
	next := m.slot(time.Now().Add(jitter(w.uv.Uplink, w.states.cfg.Interval)), w.states.cfg.Interval)
	m.mu.Unlock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if m.holds(w) {
			m.hold(ctx, w)
			next = time.Now()
			continue
		}
		r := m.begin(ctx, w, next)
		if r != nil {
			r.probe(m.prober)
			m.finish(w, r)
			next = m.slot(later(next.Add(r.cfg.Interval), time.Now()), r.cfg.Interval)
			continue
		}
		if at := m.wakeAt(w, next); !at.IsZero() {
			timer.Reset(time.Until(at))
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.kicked:
			next = time.Now()
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// wakeAt returns when the worker has something to do, zero if nothing but a kick can tell.
func (m *Monitor) wakeAt(w *worker, next time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.states.probing() {
		return next
	}
	return w.states.wake()
}

// begin starts a round if it is time for one, else returns nil.
func (m *Monitor) begin(ctx context.Context, w *worker, next time.Time) *round {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.emit(w.states.Tick(now))
	m.follow(now, w)
	if now.Before(next) || !w.states.probing() {
		return nil
	}
	r := &round{cfg: w.states.cfg, generation: w.generation}
	r.ctx, w.abort = context.WithTimeout(ctx, r.cfg.Timeout)
	return r
}

// finish gives a round's answers to the machine, unless they came too late to mean anything.
func (m *Monitor) finish(w *worker, r *round) {
	m.mu.Lock()
	w.abort()
	w.abort = nil
	if w.generation != r.generation || r.interrupted {
		m.mu.Unlock()
		return
	}
	now := time.Now()
	m.emit(w.states.Round(now, r.answers))
	m.follow(now, w)
	m.confirm(w)
	err := probeError(r.answers)
	text := errorText(err)
	fresh := text != w.reported
	w.reported = text
	m.mu.Unlock()
	if fresh && m.Report != nil {
		m.Report(w.uv, err)
	}
}

// round is one probe of every target at once.
type round struct {
	ctx         context.Context
	cfg         Config
	generation  int
	answers     []Answer
	interrupted bool // ended from outside, not by its timeout
}

// probe sends the probes and waits for the last of them.
func (r *round) probe(p Prober) {
	targets := r.cfg.targets()
	r.answers = make([]Answer, len(targets))
	if len(targets) == 0 {
		return
	}
	var others sync.WaitGroup
	for i := 1; i < len(targets); i++ {
		others.Go(func() { r.answers[i] = r.one(p, targets[i]) })
	}
	r.answers[0] = r.one(p, targets[0])
	others.Wait()
	r.interrupted = errors.Is(r.ctx.Err(), context.Canceled)
}

func (r *round) one(p Prober, target string) Answer {
	rtt, err := p.Probe(r.ctx, r.cfg, target)
	if err != nil && !notProbed(err) && errors.Is(r.ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("%w within %v", errNoAnswer, r.cfg.Timeout)
	}
	return Answer{Target: target, RTT: rtt, Err: err}
}
