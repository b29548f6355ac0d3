//go:build !linux

package confirm

import (
	"errors"
	"os"
	"time"
)

// Uptime is 0.
func Uptime() time.Duration { return 0 }

// Begin works on Linux only.
func (s Store) Begin(*Previous, time.Duration) (*Pending, *os.File, error) {
	return nil, nil, errors.ErrUnsupported
}

// Guard works on Linux only.
func (s Store) Guard() (*os.File, error) { return nil, errors.ErrUnsupported }

func (s Store) guarded() bool { return false }
