package daemon

import (
	"context"
	"errors"
	"testing"
)

func TestUnlessStopped(t *testing.T) {
	stop, cancel := context.WithCancel(t.Context())
	t.Run("what ends is answered", func(t *testing.T) {
		if got, err := UnlessStopped(stop, func() (int, error) { return 7, nil }); got != 7 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
	})
	t.Run("what hangs is left when stop comes", func(t *testing.T) {
		hang := make(chan struct{})
		defer close(hang)
		cancel()
		if _, err := UnlessStopped(stop, func() (int, error) { <-hang; return 7, nil }); !errors.Is(err, ErrStopped) {
			t.Errorf("stopped: %v", err)
		}
	})
}
