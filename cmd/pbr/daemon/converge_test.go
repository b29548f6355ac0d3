package daemon

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pbr/compiler/plan"
)

// routesOf is a plan with one route over each link that is up.
func routesOf(m plan.HostFacts) *plan.Plan {
	p := &plan.Plan{}
	for i, name := range []string{"wan1", "wan2"} {
		if m.Links[name].Up {
			p.Routes = append(p.Routes, plan.Route{Family: plan.IPv4, Table: uint32(100 + i), Hops: []plan.Hop{{Dev: name}}})
		}
	}
	return p
}

// TestConvergence changes the machine between its being read and the last message, as each case
// says of each try.
func TestConvergence(t *testing.T) {
	down := fmt.Errorf("setting a route: %w", ErrMoved)
	for _, c := range []struct {
		name string
		// up is whether wan2 is up: when the machine is read first, and after each try.
		up []bool
		// refused are the kernel's answers to the tries; nil from the last one on.
		refused []error
		tries   int
		ok      bool
		routes  int
	}{
		{"nothing changes", []bool{true}, nil, 1, true, 2},
		{"a link goes down", []bool{true, false}, []error{down}, 2, true, 1},
		{"a link goes down and comes back", []bool{true, true}, []error{down}, 2, true, 2},
		{"a link goes down, and comes back during the next try", []bool{true, false, true}, []error{down}, 3, true, 2},
		{"a link comes up without an error", []bool{false, true}, nil, 2, true, 2},
		{"a link goes down and nobody tells", []bool{true, false}, nil, 2, true, 1},
		{"what has nothing to do with links", []bool{true}, []error{errKernel}, 1, false, 0},
		{"what has nothing to do with the link that went down", []bool{true, false}, []error{errKernel, errKernel}, 2, false, 0},
		{"a refusal that stays", []bool{true}, []error{down, down, down, down, down, down, down, down}, 1 + stillTries, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				var held *plan.Plan
				host := func() (plan.HostFacts, error) {
					up := c.up[min(tries, len(c.up)-1)]
					return plan.HostFacts{Links: map[string]plan.Link{"wan1": {Up: true}, "wan2": {Up: up}}}, nil
				}
				again := Convergence{
					HostFacts: host,
					Compile:   func(m plan.HostFacts) (*plan.Plan, error) { return routesOf(m), nil },
					Apply: func(p *plan.Plan) error {
						if tries++; tries <= len(c.refused) {
							return c.refused[tries-1]
						}
						held = p
						return nil
					},
					Transient: transient, Patience: time.Minute,
				}
				first, _ := host()
				now, _, err := again.Run(t.Context(), first, routesOf(first))
				if (err == nil) != c.ok || tries != c.tries {
					t.Fatalf("%d tries, %v", tries, err)
				}
				last, _ := host()
				if c.ok && (len(held.Routes) != c.routes || now.Links["wan2"].Up != last.Links["wan2"].Up) {
					t.Errorf("it holds %v for %v", held.Routes, now)
				}
			})
		})
	}
}

// TestConvergenceEnds: a link that never stops changing holds nobody up for longer than the
// patience.
func TestConvergenceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := false
		host := func() (plan.HostFacts, error) {
			up = !up
			return plan.HostFacts{Links: map[string]plan.Link{"wan2": {Up: up}}}, nil
		}
		began := time.Now()
		again := Convergence{
			HostFacts: host, Compile: func(m plan.HostFacts) (*plan.Plan, error) { return routesOf(m), nil },
			Apply: func(*plan.Plan) error { time.Sleep(50 * time.Millisecond); return ErrMoved }, Transient: transient,
			Patience: time.Second,
		}
		first, _ := host()
		if _, _, err := again.Run(t.Context(), first, routesOf(first)); err == nil || time.Since(began) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// TestLinkChangesDuringTheFirstApply: the watch starts although a link went down between reading
// and sending, and came back at once.
func TestLinkChangesDuringTheFirstApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		refusals := 2
		b.kernel.refuse = func(*plan.Plan) error {
			if refusals--; refusals >= 0 {
				return ErrMoved
			}
			return nil
		}
		b.start()
		sleep(downTime)
		if applies, _ := b.kernel.counts(); applies < 3 || b.kernel.plan() == nil {
			t.Errorf("%d applies", applies)
		}
		b.stop()
	})
}

// TestConvergenceOfManySteps: a plan whose steps take longer than the patience gets another try for
// a host that changed meanwhile, and no more than that.
func TestConvergenceOfManySteps(t *testing.T) {
	for name, refusals := range map[string]int{"one change": 1, "a change each time": 9} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				host := func() (plan.HostFacts, error) {
					up := tries%2 == 0
					return plan.HostFacts{Links: map[string]plan.Link{"wan1": {Up: true}, "wan2": {Up: up}}}, nil
				}
				again := Convergence{
					HostFacts: host, Compile: func(m plan.HostFacts) (*plan.Plan, error) { return routesOf(m), nil },
					Apply: func(*plan.Plan) error {
						time.Sleep(2 * time.Second)
						if tries++; tries <= refusals {
							return ErrMoved
						}
						return nil
					},
					Transient: transient, Patience: time.Second,
				}
				first, _ := host()
				_, _, err := again.Run(t.Context(), first, routesOf(first))
				if ok := refusals == 1; (err == nil) != ok || tries != 1+lateTries {
					t.Errorf("%d tries, %v", tries, err)
				}
			})
		})
	}
}
