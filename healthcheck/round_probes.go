package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// round is one probe of every target at once.
type round struct {
	*roundPlan
	generation int
	answers    []Answer // one for each target
	// ctx bounds the probes of one that somebody waits for.
	ctx         context.Context
	interrupted bool // ended from outside, not by its timeout
}

// roundPlan is what the rounds of a check have in common.
type roundPlan struct {
	cfg     Config
	targets []string
}

func newRoundPlan(cfg Config) *roundPlan { return &roundPlan{cfg, cfg.targets()} }

func newRound(p *roundPlan, generation int) *round {
	return &round{roundPlan: p, generation: generation, answers: make([]Answer, len(p.targets))}
}

// probe sends the probes and waits for the last of them.
func (r *round) probe(p Prober) {
	if len(r.targets) == 0 {
		return
	}
	var others sync.WaitGroup
	for i := 1; i < len(r.targets); i++ {
		others.Go(func() { r.answers[i] = r.one(p, r.targets[i]) })
	}
	r.answers[0] = r.one(p, r.targets[0])
	others.Wait()
	r.interrupted = errors.Is(r.ctx.Err(), context.Canceled)
}

func (r *round) one(p Prober, target string) Answer {
	rtt, err := p.Probe(r.ctx, r.cfg, target)
	if err != nil && !notProbed(err) && errors.Is(r.ctx.Err(), context.DeadlineExceeded) {
		err = context.DeadlineExceeded
	}
	return r.answer(target, rtt, err)
}

// answer is how one of the probes ended.
func (r *round) answer(target string, rtt time.Duration, err error) Answer {
	if err == context.DeadlineExceeded {
		err = fmt.Errorf("%w within %v", errNoAnswer, r.cfg.Timeout)
	}
	return Answer{Target: target, RTT: rtt, Err: err}
}
