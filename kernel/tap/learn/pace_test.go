//go:build linux

package learn

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	var p pace
	now := time.Now()
	p.tick(now, now)
	if !p.well() {
		t.Error("a tick in time counts as late")
	}
	p.tick(now, now.Add(tooLate+time.Millisecond))
	for i := range steady {
		if p.well() {
			t.Fatalf("well after %d ticks in time", i)
		}
		p.tick(now, now.Add(time.Millisecond))
	}
	if !p.well() {
		t.Error("not well for good")
	}
}
