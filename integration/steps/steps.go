// Package steps is for tests that tell a story, in which each step goes on from where the one
// before ended.
package steps

import "testing"

// Steps runs the steps of one test.
type Steps struct {
	t   *testing.T
	run func(name string, step func(t *testing.T)) bool
}

// Of returns the steps of t.
func Of(t *testing.T) Steps { return Steps{t, t.Run} }

// Run runs a step as a subtest of its name. If it fails, the test ends there: what comes after
// would fail for the same reason. A step fails also when something of the test fails meanwhile that
// was made before the step, and so reports to the test itself.
func (s Steps) Run(name string, step func(t *testing.T)) {
	s.t.Helper()
	failed := s.t.Failed()
	ok := s.run(name, func(t *testing.T) {
		defer func() {
			if !failed && s.t.Failed() {
				t.Fail()
			}
		}()
		step(t)
	})
	if !ok {
		s.t.FailNow()
	}
}
