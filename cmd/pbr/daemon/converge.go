package daemon

import (
	"context"
	"reflect"
	"slices"
	"time"

	"pbr/compiler/plan"
)

const (
	// stillTries is how often a refusal that looks like a link's change is met with another try
	// while the machine looks the same: a link that went down and came back leaves no other trace.
	stillTries = 4
	// movingPause is between two tries, twice as long after each that found the machine unchanged.
	movingPause = 5 * time.Millisecond
)

// Convergence applies a plan to a machine that may change between being read and the last message:
// links go down, addresses and gateways come and go. Then the plan is not the machine's any more,
// whether the kernel refused it or took it.
type Convergence struct {
	HostFacts func() (plan.Machine, error)
	Compile   func(plan.Machine) (*plan.Plan, error)
	Apply     func(*plan.Plan) error
	// Transient reports whether an error of Apply may come of such a change.
	Transient func(error) bool
	// Patience is how long it goes on while the machine keeps changing.
	Patience time.Duration
}

// Run applies want, which was compiled for machine, and goes again with the plan of the machine as
// it is by then, until both agree. It returns the last plan that was applied, or tried, and the
// machine that it is for. The error is Apply's.
func (c *Convergence) Run(ctx context.Context, host plan.Machine, want *plan.Plan) (plan.Machine, *plan.Plan, error) {
	began := time.Now()
	for still := 0; ; {
		err := c.Apply(want)
		if ctx.Err() != nil {
			return host, want, err
		}
		now, next, moved := c.look(host, want)
		switch {
		case err == nil && !moved, time.Since(began) > c.Patience:
			return host, want, err
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

// look reads the machine again; it reports whether it takes another plan.
func (c *Convergence) look(host plan.Machine, want *plan.Plan) (plan.Machine, *plan.Plan, bool) {
	now, err := c.HostFacts()
	if err != nil || reflect.DeepEqual(now, host) {
		return host, want, false
	}
	next, err := c.Compile(now)
	if err != nil || plan.Diff(want, next).Empty() && slices.Equal(want.Waiting, next.Waiting) {
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
