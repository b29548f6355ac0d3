package main

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A start of five minutes always has time left, and nothing is told once it has ended.
func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithTimeout(t.Context(), startPatience)
		var mu sync.Mutex
		var last time.Time
		told := 0
		signs := func() (int, time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			return told, time.Since(last)
		}
		go tellStarting(ctx, func(state string) {
			mu.Lock()
			defer mu.Unlock()
			if state != "EXTEND_TIMEOUT_USEC=60000000" {
				t.Errorf("the manager is told %q", state)
			}
			last = time.Now()
			told++
		})
		for range 300 {
			time.Sleep(time.Second)
			synctest.Wait()
			if _, ago := signs(); ago > startExtension/2 {
				t.Fatalf("the last sign is %v ago", ago)
			}
		}
		end()
		synctest.Wait()
		before, _ := signs()
		time.Sleep(time.Minute)
		if after, _ := signs(); after != before || before < 300/10 {
			t.Errorf("told %d times, and %d afterwards", before, after-before)
		}
	})
}

// A start that hangs is not kept for ever.
func TestHungStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithTimeout(t.Context(), startPatience)
		defer end()
		var last time.Time
		go tellStarting(ctx, func(string) { last = time.Now() })
		time.Sleep(2 * startPatience)
		synctest.Wait()
		if time.Since(last) < startPatience {
			t.Errorf("the last sign is %v ago", time.Since(last))
		}
	})
}
