package healthcheck

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxAsking bounds how long the peers of an uplink whose check failed may take to answer.
const maxAsking = time.Second

// jury returns how a failed check of an uplink is confirmed, by the states of its peers in the same
// version: at once, where there is nobody to ask or one that is not checked and whose link is good,
// or by asking some.
func jury(peers []*stateMachine) (confirmed bool, ask []*stateMachine) {
	for _, p := range peers {
		switch {
		case !p.state.Usable():
		case p.cfg.Method == MethodNone && p.link == linkGood, p.cfg.Method == MethodBFD && p.verdict == Up:
			return true, nil // a session's last packet is as good as an answer
		case p.probing():
			ask = append(ask, p)
		}
	}
	return len(ask) == 0, ask
}

// confirm has a failed check confirmed, and lets those look again whose failure this uplink, which
// answers, explains. The lock is held.
func (m *Monitor) confirm(w *worker) {
	if w.states.good > 0 {
		m.lookAgain(w)
	}
	if !w.states.asking || w.confirming || m.ended {
		return
	}
	var peers []*stateMachine
	for _, name := range w.states.cfg.Peers {
		if p := m.workers[UplinkVersion{name, w.uv.Version}]; p != nil {
			peers = append(peers, m.judge(p).states)
		}
	}
	confirmed, ask := jury(peers)
	if confirmed {
		m.endConfirmation(w, true)
		return
	}
	w.confirming = true
	rounds := make([]*round, len(ask))
	for i, p := range ask {
		rounds[i] = newRound(newRoundPlan(p.cfg), 0)
	}
	var again *round // the round that failed may have begun before the common cause had ended
	if w.states.verdict == Unconfirmed {
		again = newRound(newRoundPlan(w.states.cfg), 0)
	}
	generation := w.generation
	m.running.Go(func() { m.ask(w, generation, rounds, again) })
}

// judge is the worker whose probes an uplink's verdict comes from.
func (m *Monitor) judge(w *worker) *worker {
	if o := m.other(w.uv); w.states.cfg.Follows && o != nil {
		return o
	}
	return w
}

// ask sends one round of each peer's own checks, and decides with the first that
// answers, or when none did. again is a round of the uplink itself, nil for none: if that is
// answered, nothing is decided.
func (m *Monitor) ask(w *worker, generation int, rounds []*round, again *round) {
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	answered := make(chan bool, len(rounds))
	for _, r := range rounds {
		go func() { answered <- r.answered(ctx, m.prober) }()
	}
	itself := make(chan bool, 1)
	if itself <- false; again != nil {
		<-itself
		go func() { itself <- again.answered(m.ctx, m.prober) }()
	}
	own := false
	for range rounds {
		own = <-answered || own
		if own {
			cancel() // the others are waited for, so that none outlives the monitor
		}
	}
	back := <-itself
	m.mu.Lock()
	defer m.mu.Unlock()
	w.confirming = false
	switch {
	case m.ctx.Err() != nil || m.workers[w.uv] != w || w.generation != generation:
	case back:
		w.states.asking = false
		m.kick(w)
	default:
		m.endConfirmation(w, own)
	}
}

// answered sends a round beside the uplink's own ones, and reports whether one of its targets
// answered in time. With the first answer the round ends.
func (r *round) answered(ctx context.Context, p Prober) bool {
	var end context.CancelFunc
	r.ctx, end = context.WithTimeout(ctx, min(r.cfg.Timeout, maxAsking))
	defer end()
	var all sync.WaitGroup
	for i, target := range r.targets {
		all.Go(func() {
			if r.answers[i] = r.one(p, target); r.answers[i].Err == nil {
				end()
			}
		})
	}
	all.Wait()
	return slices.ContainsFunc(r.answers, func(a Answer) bool { return a.Err == nil })
}

// endConfirmation ends a confirmation. The lock is held.
func (m *Monitor) endConfirmation(w *worker, own bool) {
	now := time.Now()
	m.doubts = m.doubts || !own
	m.emit(w.states.Confirm(now, own))
	m.follow(now, w)
}

// lookAgain starts a round of those whose check failed together with this uplink's. It is called
// with each answer.
func (m *Monitor) lookAgain(w *worker) {
	if !m.doubts {
		return
	}
	m.doubts = false
	for _, o := range m.list {
		m.doubts = m.doubts || o.states.verdict == Unconfirmed
		if o.states.verdict == Unconfirmed && o != w && o.uv.Version == w.uv.Version &&
			slices.Contains(o.states.cfg.Peers, w.uv.Uplink) {
			m.kick(o)
		}
	}
}
