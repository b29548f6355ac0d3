package lazy

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestValue: a value is made when it is first asked for, and once.
func TestValue(t *testing.T) {
	var made atomic.Int32
	v := Value[map[string]int]{Make: func() map[string]int {
		made.Add(1)
		return map[string]int{"ssh": 22}
	}}
	if made.Load() != 0 {
		t.Error("it was made before anybody asked")
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if v.Get()["ssh"] != 22 {
				t.Error("got another value")
			}
		})
	}
	if all.Wait(); made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
}
