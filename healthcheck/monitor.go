package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"
)

// Monitor watches uplinks. Its methods may be called at any time, also before Run, from any
// goroutine.
type Monitor struct {
	// Report is told when probes of an uplink cannot be sent, once for each error that is new, and
	// with nil when they can be again. Set it before Run; it must not block. It may be nil.
	Report func(uv UplinkVersion, err error)

	prober Prober
	batch  BatchProber // the prober, nil if it is none
	events *queue
	pace   *pace
	// probes are those of the turn that haveTurn has, for whose next turn their memory is kept.
	probes []BatchProbe

	mu      sync.Mutex
	workers map[UplinkVersion]*worker
	order   []UplinkVersion
	// list has the workers in no order, for what looks at all of them again and again.
	list []*worker
	// doubts means that the verdict of one of them may be Unconfirmed.
	doubts  bool
	ctx     context.Context // of Run; nil before
	ended   bool            // no worker may start any more
	running sync.WaitGroup
}

// NewMonitor makes a monitor that watches nothing yet.
func NewMonitor(probe Prober) *Monitor {
	batch, _ := probe.(BatchProber)
	return &Monitor{prober: probe, batch: batch, events: newQueue(), pace: newPace(), workers: map[UplinkVersion]*worker{}}
}

// Events returns the channel of all changes, in the order in which they happened. It is closed when
// Run ends.
func (m *Monitor) Events() <-chan Event { return m.events.out }

// Set makes the monitor watch these uplinks and versions and no other. Those that it knows keep
// their state as far as their check stays the same (a check of other targets keeps the verdict;
// another gateway gives a dead uplink a new start). initial holds the states of uplinks that it
// does not know, from a former run: what was down stays down until it is proven up, what was forced
// stays forced, what had no link waits for Link. Without it an uplink begins in Start, its link
// counting as good. A version that an uplink did not have takes over what was forced of the other
// one.
func (m *Monitor) Set(configs []Config, initial map[UplinkVersion]Status) {
	m.mu.Lock()
	now := time.Now()
	order := make([]UplinkVersion, 0, len(configs))
	wanted := map[UplinkVersion]bool{}
	var gone []*worker
	forced := m.forced()
	for _, c := range configs {
		if !wanted[c.UplinkVersion] {
			order = append(order, c.UplinkVersion)
		}
		wanted[c.UplinkVersion] = true
	}
	for uv, w := range m.workers {
		if !wanted[uv] {
			delete(m.workers, uv)
			if w.cancel != nil {
				w.void()
				w.cancel()
				gone = append(gone, w)
			}
		}
	}
	m.order, m.list = order, slices.Collect(maps.Values(m.workers))
	m.mu.Unlock()
	// A worker that comes must not meet one of the same name that goes.
	for _, w := range gone {
		m.end(w)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() { m.list = slices.Collect(maps.Values(m.workers)) }()
	for _, c := range configs {
		was, known := initial[c.UplinkVersion]
		if !known {
			was = forced[c.Uplink]
		}
		m.setOne(now, c.withDefaults(), was)
	}
}

// forced has the uplinks that are held up or down, as they are. The lock is held.
func (m *Monitor) forced() map[string]Status {
	forced := map[string]Status{}
	for uv, w := range m.workers {
		if forcedState(w.states.state) {
			forced[uv.Uplink] = Status{State: w.states.state, Since: w.states.since}
		}
	}
	return forced
}

func (m *Monitor) setOne(now time.Time, c Config, was Status) {
	w := m.workers[c.UplinkVersion]
	if w == nil {
		w = newWorker(newStateMachine(now, c, was))
		m.workers[c.UplinkVersion] = w
		m.doubts = true
		m.start(w)
		return
	}
	old := w.states.cfg
	if reflect.DeepEqual(old, c) {
		return
	}
	m.emit(w.states.Configure(now, c))
	w.plan = nil
	m.follow(now, w)
	if old.Interface != c.Interface || !old.sameProbes(c) || !old.sameGateways(c) {
		w.void()
	}
	m.kick(w)
}

// Link tells the condition of an uplink's interface for a version. One that the monitor does not
// know is nobody's.
func (m *Monitor) Link(uv UplinkVersion, l LinkState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.workers[uv]
	if w == nil || w.states.told && w.states.link == l {
		return
	}
	now := time.Now()
	same := w.states.link == l
	m.emit(w.states.Link(now, l))
	if same {
		return
	}
	if leader := m.other(uv); leader != nil && w.states.cfg.Follows {
		m.follow(now, leader)
	}
	w.void()
	m.kick(w)
}

// Force holds an uplink up or down in all its versions, or (ForceAuto) lets probes and link decide
// again. It fails for an unknown uplink or mode.
func (m *Monitor) Force(uplink, mode string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := false
	for _, uv := range m.order {
		w := m.workers[uv]
		if uv.Uplink != uplink || w == nil {
			continue
		}
		known = true
		e, changed, err := w.states.Force(time.Now(), mode)
		if m.emit(e, changed); err != nil {
			return err
		}
	}
	if !known {
		return fmt.Errorf("forcing uplink %s: no such uplink", uplink)
	}
	return nil
}

// Quota says what an uplink's quota says, for all its versions. An uplink that the monitor does not
// know is nobody's.
func (m *Monitor) Quota(uplink string, q Quota) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, version := range []Version{4, 6} {
		if w := m.workers[UplinkVersion{uplink, version}]; w != nil && w.states.quota != q {
			m.emit(w.states.Quota(time.Now(), q))
		}
	}
}

// other is the worker of the uplink's other version, nil if there is none. The lock is held.
func (m *Monitor) other(uv UplinkVersion) *worker {
	return m.workers[UplinkVersion{uv.Uplink, 4 + 6 - uv.Version}]
}

// follow gives the uplink's other version the verdict of this one, if nothing is probed there. The
// lock is held.
func (m *Monitor) follow(now time.Time, w *worker) {
	if o := m.other(w.uv); o != nil && o.states.cfg.Follows && !w.states.cfg.Follows {
		m.doubts = m.doubts || w.states.verdict == Unconfirmed
		m.emit(o.states.Follow(now, w.states))
	}
}

// Statuses returns what is known of all uplinks, in the order that Set had them.
func (m *Monitor) Statuses() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	out := make([]Status, 0, len(m.order))
	for _, uv := range m.order {
		if w := m.workers[uv]; w != nil {
			out = append(out, w.states.Status(now))
		}
	}
	return out
}

// Run probes until ctx ends; it returns when every probe has ended. It can be called once.
func (m *Monitor) Run(ctx context.Context) error {
	m.mu.Lock()
	if m.ctx != nil {
		m.mu.Unlock()
		return errors.New("running a monitor: it ran already")
	}
	m.ctx = ctx
	for _, w := range m.workers {
		m.start(w)
	}
	m.mu.Unlock()
	m.running.Go(func() { m.pace.run(ctx, m.haveTurn) })
	m.events.run(ctx)
	m.mu.Lock()
	m.ended = true
	workers := m.list
	m.mu.Unlock()
	for _, w := range workers {
		m.end(w)
	}
	m.running.Wait()
	return nil
}

// haveTurn begins the rounds that are due, and returns when the next ones are.
func (m *Monitor) haveTurn() (next time.Time) {
	m.probes, next = m.turn(m.probes[:0])
	if len(m.probes) > 0 {
		m.batch.Batch(m.probes)
		clear(m.probes)
	}
	return next
}

// end waits for what a worker whose context has ended still does.
func (m *Monitor) end(w *worker) {
	w.running.Wait()
	if w.cancel != nil {
		w.cancel()
	}
	if r, ok := m.prober.(Releaser); ok && w.cancel != nil && !m.probed(w) {
		r.Release(w.uv.Uplink)
	}
}

// emit queues an event if there is one. The lock is held: events are in the order of their changes.
func (m *Monitor) emit(e Event, changed bool) {
	if changed {
		m.events.add(e)
	}
}

// probed reports whether another worker of the same uplink continues.
func (m *Monitor) probed(ended *worker) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.other(ended.uv)
	return o != nil && m.ctx.Err() == nil
}
