package daemon

// Measured is what was measured of a line lately, the newest at the end; what is not known is
// negative.
type Measured struct {
	Uplink  string `json:"uplink"`
	Version int    `json:"version"`
	// RTT is in seconds, Loss a share of 1; both have a value each Step seconds.
	RTT  []float32 `json:"rtt"`
	Loss []float32 `json:"loss"`
	Step float64   `json:"step_s"`
}

// Measured returns what was measured of all lines lately; nil where nobody keeps it. Any
// goroutine may ask.
func (w *Watcher) Measured() []Measured {
	if w.Recent == nil {
		return nil
	}
	return w.Recent()
}
