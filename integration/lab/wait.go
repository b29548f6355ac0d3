package lab

import (
	"testing"
	"time"
)

// waitLimit bounds every wait. Conditions come true within milliseconds; the rest is for a
// machine that is busy with something else.
var waitLimit = Patience(15 * time.Second)

// WaitFor polls until the condition holds, and fails the test when it does not within a limit.
func WaitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	if !Eventually(waitLimit, condition) {
		t.Fatalf("waited %v in vain for %s", waitLimit, what)
	}
}

// Eventually polls until the condition holds or the limit is over, and reports whether it held.
func Eventually(limit time.Duration, condition func() bool) bool {
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if condition() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
}
