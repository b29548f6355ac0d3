package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// compile makes the plan of a policy for the present host facts and health.
func (w *Watcher) compile(doc *policy.Document) (*plan.Plan, error) {
	if w.compiler == nil || w.compiler.Document() != doc {
		w.compiler = compiler.New(doc)
	}
	return compiled(w.compiler.Compile(w.host, w.health.down))
}

// compiled is a plan, or what is wrong with its policy.
func compiled(want *plan.Plan, problems policy.Diagnostics) (*plan.Plan, error) {
	if want == nil {
		errs := make([]error, 0, len(problems))
		for _, p := range problems {
			errs = append(errs, fmt.Errorf("%s:%d: %s", p.Pos.File, p.Pos.Line, p.Message))
		}
		return nil, unfit(fmt.Errorf("compiling the policy: %w", errors.Join(errs...)))
	}
	return want, nil
}

// apply reads the host facts and applies the policy for them. It repeats that if the host changes
// meanwhile.
func (w *Watcher) apply(ctx context.Context, doc *policy.Document) (want *plan.Plan, sum Outcome, err error) {
	if w.host, err = w.hostFacts(ctx, doc); err != nil {
		return nil, Outcome{}, fmt.Errorf("reading the host facts: %w", err)
	}
	if want, err = UnlessStopped(ctx, func() (*plan.Plan, error) { return w.compile(doc) }); err != nil {
		return nil, Outcome{}, err
	}
	if want, sum, err = w.converge(ctx, doc, want); err != nil {
		return nil, Outcome{}, fmt.Errorf("applying the policy: %w", err)
	}
	return want, sum, nil
}

// hostFacts reads the host for a policy, and again while it changes: where many links come up at a
// boot, each list of them is interrupted.
func (w *Watcher) hostFacts(ctx context.Context, doc *policy.Document) (plan.HostFacts, error) {
	for began := time.Now(); ; {
		host, err := w.Kernel.HostFacts(compiler.Needs(doc))
		if !errors.Is(err, ErrInterrupted) || ctx.Err() != nil || time.Since(began) > applyPatience {
			return host, err
		}
		rest(ctx, movingPause)
	}
}

// converge applies want, which was compiled for the last host facts, and later plans if the host
// changes meanwhile.
func (w *Watcher) converge(ctx context.Context, doc *policy.Document, want *plan.Plan) (_ *plan.Plan, sum Outcome, err error) {
	c := Convergence{
		HostFacts: func() (plan.HostFacts, error) { return w.Kernel.HostFacts(compiler.Needs(doc)) },
		Compile: func(m plan.HostFacts) (*plan.Plan, error) {
			w.host = m
			return w.compile(doc)
		},
		Apply: func(p *plan.Plan) error {
			outcome, err := w.Kernel.Apply(ctx, p)
			w.lastRun = time.Now()
			sum.add(outcome)
			return err
		},
		Transient: transient, Patience: applyPatience,
	}
	w.host, want, err = c.Run(ctx, w.host, want)
	w.sweepLate()
	return want, sum, err
}

func (w *Watcher) logOutcome(what string, o Outcome) {
	if len(o.Changed) > 0 {
		w.Log.Info(what, "changed", o.Changed)
	}
	for _, text := range o.Warnings {
		w.Log.Warn(text)
	}
}
