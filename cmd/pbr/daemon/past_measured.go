package daemon

import "pbr/healthcheck"

// Measured has the recent measurements of an uplink, the newest last; unknown values are negative.
type Measured struct {
	Uplink  string `json:"uplink"`
	Version int    `json:"version"`
	// RTT is in seconds, Loss a share of 1; both have a value each Step seconds.
	RTT  []float32 `json:"rtt"`
	Loss []float32 `json:"loss"`
	Step float64   `json:"step_s"`
}

// Measured returns the recent measurements of all uplinks; nil if nobody records them. Any
// goroutine may ask.
func (w *Watcher) Measured() []Measured {
	if w.Recent == nil {
		return nil
	}
	return w.Recent()
}

// ProbePorts returns the source ports of the last probes, by uplink.
func (w *Watcher) ProbePorts() map[string][]healthcheck.Port {
	if w.Ports == nil {
		return nil
	}
	return w.Ports()
}
