package history

import "math"

// rings are those of an uplink's version: one for each metric and span.
type rings struct{ list []ring }

func newRings(metrics int) *rings { return &rings{make([]ring, metrics*int(spans))} }

func (r *rings) of(metric int, s Span) *ring {
	g := &r.list[metric*int(spans)+int(s)]
	g.steps = resolutions[s].steps
	return g
}

// ring has the values of the last steps. It grows as time continues, so that a short life takes
// little memory.
type ring struct {
	steps  int64
	values []float32
	// first is the step of values[0] before the ring is full; last is the one that is being
	// filled, with n values so far.
	first, last int64
	n           int
	current     float64
}

// add adds a value at a step. Steps never go back.
func (r *ring) add(step int64, v float64, combine func(float64, int, float64) float64) {
	if len(r.values) == 0 {
		r.first, r.last = step, step-1
	}
	if step-r.last > r.steps { // nothing that is there still counts
		r.values, r.first, r.last = r.values[:0], step, step-1
	}
	for r.last < step {
		r.last++
		r.n = 0
		r.put(float32(math.NaN()))
	}
	if math.IsNaN(v) {
		return
	}
	if r.n == 0 {
		r.current = v
	} else {
		r.current = combine(r.current, r.n, v)
	}
	r.n++
	r.values[r.place(r.last)] = float32(r.current)
}

// put makes room for the step last.
func (r *ring) put(v float32) {
	if int64(len(r.values)) < r.steps {
		r.values = append(r.values, v)
		return
	}
	r.values[r.place(r.last)] = v
}

func (r *ring) place(step int64) int64 { return (step - r.first) % r.steps }

// read writes the values of the steps up to now, the last one at the end.
func (r *ring) read(now int64, out []float64) {
	unknown(out)
	for i := range out {
		step := now - int64(len(out)-1-i)
		if len(r.values) > 0 && step <= r.last && step > r.last-int64(len(r.values)) {
			out[i] = float64(r.values[r.place(step)])
		}
	}
}
