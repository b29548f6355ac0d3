//go:build !linux

package nft

// Tracer does nothing on this system.
type Tracer struct{}

// Close does nothing.
func (t *Tracer) Close() error { return nil }

// Next fails.
func (t *Tracer) Next() ([]TraceEvent, error) { return nil, errNoLinux }
