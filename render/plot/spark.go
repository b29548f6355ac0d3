package plot

import (
	"math"
	"strings"
)

var levels = []rune("▁▂▃▄▅▆▇█")

// Spark draws values from 0 to top as characters, one each; what is not known is a blank.
func Spark(values []float64, top float64) string {
	var b strings.Builder
	for _, v := range values {
		switch {
		case math.IsNaN(v):
			b.WriteByte(' ')
		case top <= 0:
			b.WriteRune(levels[0])
		default:
			at := int(math.Ceil(v/top*float64(len(levels)))) - 1
			b.WriteRune(levels[min(max(at, 0), len(levels)-1)])
		}
	}
	return b.String()
}
