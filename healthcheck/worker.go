package healthcheck

import (
	"context"
	"hash/fnv"
	"sync"
	"time"
)

// maxJitter bounds the wait before an uplink's first round: the first verdict must not wait.
const maxJitter = 100 * time.Millisecond

// worker is the part of one uplink and version in a Monitor. All but the channel and the group
// belongs to the Monitor's lock.
type worker struct {
	uv     UplinkVersion
	states *stateMachine
	// next is when the next round begins; kicked that it begins, and that the machine is looked at,
	// now.
	next   time.Time
	kicked bool
	// generation changes when the answers that are under way no longer mean anything.
	generation int
	// plan is of all rounds; nil after the check changed.
	plan *roundPlan
	// round is the one that is under way, nil if there is none; held means that there is a session
	// in place of rounds. abort ends what of it has a goroutine, nil if nothing has.
	round    *round
	held     bool
	abort    context.CancelFunc
	reported string
	// confirming means that the peers are being asked.
	confirming bool

	// ctx ends with the worker; nil if it was never started.
	ctx    context.Context
	cancel context.CancelFunc
	// session wakes who waits for a session.
	session chan struct{}
	running sync.WaitGroup
}

func newWorker(m *stateMachine) *worker {
	return &worker{uv: m.cfg.UplinkVersion, states: m, session: make(chan struct{}, 1)}
}

// kick makes the monitor look at the machine and begin a round now, or when the one that is under
// way has ended. The lock is held.
func (m *Monitor) kick(w *worker) {
	w.kicked = true
	poke(w.session)
	m.pace.wake()
}

// poke leaves a token in a channel that holds one.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// void makes the round that is under way count for nothing.
func (w *worker) void() {
	w.generation++
	if w.abort != nil {
		w.abort()
	} else {
		w.round = nil // nobody waits for it
	}
}

// busy reports whether there is something that has to end before the next round begins.
func (w *worker) busy() bool { return w.round != nil || w.held }

// jitter spreads the rounds of many uplinks, the same way each time.
func jitter(uplink string, interval time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(uplink))
	return min(interval, maxJitter) * time.Duration(h.Sum32()%1000) / 1000
}

// start lets a worker work if the monitor runs. The lock is held.
func (m *Monitor) start(w *worker) {
	if m.ctx == nil || m.ended {
		return
	}
	w.ctx, w.cancel = context.WithCancel(m.ctx)
	interval := w.states.cfg.Interval
	w.next = m.pace.slot(time.Now().Add(jitter(w.uv.Uplink, interval)), interval)
	m.pace.wake()
}

// wakeAt returns when a worker has something to do, zero if nothing but a kick can tell.
func (w *worker) wakeAt() time.Time {
	if w.states.probing() {
		return w.next
	}
	return w.states.wake()
}

// turn begins what is due. It appends the probes to be sent, and returns them and when more is due,
// zero if that is not known.
func (m *Monitor) turn(probes []BatchProbe) (all []BatchProbe, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return probes, at
	}
	now := time.Now()
	for _, w := range m.list {
		if w.busy() || w.ctx == nil {
			continue
		}
		due := w.wakeAt()
		if w.kicked || w.states.holding() || !due.IsZero() && !now.Before(due) {
			probes = m.begin(now, w, probes)
			if due = w.wakeAt(); w.held {
				continue
			}
		}
		if !due.IsZero() && (at.IsZero() || due.Before(at)) {
			at = due
		}
	}
	return probes, at
}

// begin lets a worker do what is due. It adds the probes of a round that are sent in a batch.
func (m *Monitor) begin(now time.Time, w *worker, probes []BatchProbe) []BatchProbe {
	if w.kicked {
		w.kicked, w.next = false, now
	}
	if w.states.holding() {
		w.held = true
		w.running.Go(func() { m.hold(w) })
		return probes
	}
	m.emit(w.states.Tick(now))
	m.follow(now, w)
	if now.Before(w.next) || !w.states.probing() {
		return probes
	}
	if w.plan == nil {
		w.plan = newRoundPlan(w.states.cfg)
	}
	r := newRound(w.plan, w.generation)
	w.round, w.next = r, m.pace.slot(later(w.next.Add(r.cfg.Interval), now), r.cfg.Interval)
	if m.batch != nil && m.batch.Batches(&r.cfg) && len(r.targets) > 0 {
		return m.appendProbes(probes, w, r, now)
	}
	r.ctx, w.abort = context.WithTimeout(w.ctx, r.cfg.Timeout)
	w.running.Go(func() {
		r.probe(m.prober)
		m.finish(w, r)
	})
	return probes
}

// appendProbes appends the probes of a round that nobody waits for.
func (m *Monitor) appendProbes(list []BatchProbe, w *worker, r *round, now time.Time) []BatchProbe {
	left := len(r.targets)
	for i, target := range r.targets {
		ended := func(rtt time.Duration, err error) {
			m.mu.Lock()
			r.answers[i] = r.answer(target, rtt, err)
			left--
			last := left == 0
			m.mu.Unlock()
			if last {
				m.finish(w, r)
			}
		}
		list = append(list, BatchProbe{Config: &r.cfg, Target: target, Until: now.Add(r.cfg.Timeout), Ended: ended})
	}
	return list
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// finish gives a round's answers to the machine, unless they came too late to mean anything.
func (m *Monitor) finish(w *worker, r *round) {
	err, fresh := m.finished(w, r)
	if fresh && m.Report != nil {
		m.Report(w.uv, err)
	}
}

// finished does that, and returns an error that was not reported yet.
func (m *Monitor) finished(w *worker, r *round) (err error, fresh bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.round != r { // it was abandoned
		return nil, false
	}
	w.round = nil
	if w.abort != nil {
		w.abort()
		w.abort = nil
	}
	now := time.Now()
	if w.kicked || !now.Before(w.next) {
		w.next = m.pace.slot(later(w.next, now), r.cfg.Interval)
		m.pace.wake()
	}
	if w.generation != r.generation || r.interrupted {
		return nil, false
	}
	m.emit(w.states.Round(now, r.answers))
	m.follow(now, w)
	m.confirm(w)
	err = probeError(r.answers)
	text := errorText(err)
	fresh = text != w.reported
	w.reported = text
	return err, fresh
}
