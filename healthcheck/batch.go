package healthcheck

import "time"

// BatchProber is a Prober that sends probes of many uplinks at once, and needs no goroutine for
// each to wait for its answer.
type BatchProber interface {
	Prober
	// Batches reports whether the probes of a check can be sent so.
	Batches(c *Config) bool
	// Batch sends probes. It does not wait for answers that are not there yet, and does not keep
	// the slice.
	Batch(probes []BatchProbe)
}

// BatchProbe is one probe of a batch.
type BatchProbe struct {
	Config *Config // must not change any more
	Target string
	// Until is when it has failed without an answer, as context.DeadlineExceeded; never if it is
	// zero.
	Until time.Time
	// Ended is called once, by Batch or later, with what Prober.Probe returns. It must not block.
	// It is not called any more once the uplink was released.
	Ended func(rtt time.Duration, err error)
}
