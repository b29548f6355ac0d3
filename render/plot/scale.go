package plot

import (
	"math"
	"time"
)

// Log is where a value lies in a logarithmic range, 0 to 1.
func Log(v float64, in [2]float64) float64 { return math.Log(v/in[0]) / math.Log(in[1]/in[0]) }

// Ceil is the next round number: 1, 2 or 5 times a power of ten.
func Ceil(v float64) float64 {
	if v <= 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 1
	}
	ten := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if v <= n*ten*(1+1e-9) {
			return n * ten
		}
	}
	return 10 * ten
}

// steps are distances of ticks on an axis of time.
var steps = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour, 6 * time.Hour, 24 * time.Hour}

// times returns round times between two, a few of them, with those of the first's time zone.
func times(from, to time.Time, most int) (list []time.Time) {
	step := steps[len(steps)-1]
	for _, s := range steps {
		if to.Sub(from) <= time.Duration(most)*s {
			step = s
			break
		}
	}
	_, offset := from.Zone()
	shift := time.Duration(offset) * time.Second
	for t := from.Add(shift).Truncate(step).Add(-shift); !t.After(to); t = t.Add(step) {
		if !t.Before(from) {
			list = append(list, t)
		}
	}
	return list
}
