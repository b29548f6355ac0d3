package daemon

import (
	"context"
	"reflect"
	"slices"
	"time"

	"pbr/compiler/plan"
)

const (
	// stillTries is how often an error that may come from a link's change is followed by another
	// try although the host facts look the same: a link that went down and came back leaves no
	// other trace.
	stillTries = 4
	// lateTries is how often a try that the kernel refused is followed by another one for a host
	// that changed although the patience is over: a plan of many steps takes longer than that.
	lateTries = 1
	// movingPause is the pause between two tries; it doubles after each try that found the host
	// facts unchanged.
	movingPause = 5 * time.Millisecond
)

// Convergence applies a plan on a host that may change between being read and the last message:
// links go down, addresses and gateways come and go. The plan is then out of date, whether the
// kernel refused or accepted it.
type Convergence struct {
	HostFacts func() (plan.HostFacts, error)
	Compile   func(plan.HostFacts) (*plan.Plan, error)
	Apply     func(*plan.Plan) error
	// Transient reports whether an error of Apply may come from such a change.
	Transient func(error) bool
	// Patience is how long it continues while the host facts keep changing.
	Patience time.Duration
}

// Run applies want, which was compiled for host. It applies the plan for the new host facts again,
// until both agree. It returns the last plan that it applied, or tried, and its host facts. The
// error is Apply's.
func (c *Convergence) Run(ctx context.Context, host plan.HostFacts, want *plan.Plan) (plan.HostFacts, *plan.Plan, error) {
	began := time.Now()
	for still, late := 0, 0; ; {
		err := c.Apply(want)
		if ctx.Err() != nil {
			return host, want, err
		}
		now, next, moved := c.look(host, want)
		over := time.Since(began) > c.Patience
		switch {
		case err == nil && (!moved || over), over && !moved, over && late == lateTries:
			return host, want, err
		case over:
			late++
		case !moved && (still == stillTries || !c.Transient(err)):
			return host, want, err
		case !moved:
			still++
		}
		if err != nil {
			rest(ctx, movingPause<<still)
		}
		host, want = now, next
	}
}

// look reads the host facts again; it reports whether they need another plan.
func (c *Convergence) look(host plan.HostFacts, want *plan.Plan) (plan.HostFacts, *plan.Plan, bool) {
	now, err := c.HostFacts()
	if err != nil || reflect.DeepEqual(now, host) {
		return host, want, false
	}
	next, err := c.Compile(now)
	if err != nil || plan.Diff(want, next).Empty() && slices.Equal(want.Deferred, next.Deferred) {
		return host, want, false
	}
	return now, next, true
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
