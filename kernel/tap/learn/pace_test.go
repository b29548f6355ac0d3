//go:build linux

package learn

import (
	"testing"
	"time"

	"pbr/integration/steps"
)

func TestPace(t *testing.T) {
	var p pace
	now := time.Now()
	step := steps.Of(t)
	step.Run("a tick in time is none that is late", func(t *testing.T) {
		p.tick(now, now)
		if !p.well() {
			t.Error("a tick in time counts as late")
		}
	})
	step.Run("after a late one it is not well for some ticks", func(t *testing.T) {
		p.tick(now, now.Add(tooLate+time.Millisecond))
		for i := range steady {
			if p.well() {
				t.Fatalf("well after %d ticks in time", i)
			}
			p.tick(now, now.Add(time.Millisecond))
		}
	})
	step.Run("and then well again", func(t *testing.T) {
		if !p.well() {
			t.Error("not well for good")
		}
	})
}
