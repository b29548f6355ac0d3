package main

import (
	"context"
	"errors"
	"testing"
)

// An end of the watch is that of its parts.
func TestRunBeside(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended, want := make(chan struct{}), errors.New("the watch's")
	err := runBeside(cancel, func() error { return want }, func() { <-ctx.Done(); close(ended) })
	select {
	case <-ended:
	default:
		t.Error("it did not wait for its part")
	}
	if !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}

// A panic of the watch is nobody's to wait with: a part that runs on would keep the process, which
// does nothing any more, from ending.
func TestRunBesidePanics(t *testing.T) {
	end := make(chan struct{})
	defer close(end)
	defer func() {
		if got := recover(); got != "broken" {
			t.Errorf("it panicked with %v", got)
		}
	}()
	_ = runBeside(func() { t.Error("the parts were told to end") }, func() error { panic("broken") }, func() { <-end })
}
