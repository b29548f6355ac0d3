package policy

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// sizeUnits are those of sizes: powers of 1000, and of 1024.
var sizeUnits = []struct {
	name  string
	bytes uint64
}{
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
}

// SizeHint shows how sizes are written.
const SizeHint = `write a number and its unit, as "50GB" or "1.5TiB": kB, MB, GB, TB are powers of 1000, KiB, MiB, GiB, TiB of 1024`

// ParseSize reads a size as "50GB". The unit is needed.
func ParseSize(v string) (uint64, error) {
	at := strings.IndexFunc(v, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if at <= 0 {
		return 0, errors.New("no number with a unit")
	}
	n, err := strconv.ParseFloat(v[:at], 64)
	if err != nil || strings.HasSuffix(v[:at], ".") {
		return 0, fmt.Errorf("invalid number %q", v[:at])
	}
	for _, u := range sizeUnits {
		if strings.TrimLeft(v[at:], " ") != u.name {
			continue
		}
		if size := n * float64(u.bytes); size >= 1 && size < math.MaxInt64 {
			return uint64(size), nil
		}
		return 0, errors.New("out of range")
	}
	return 0, fmt.Errorf("unknown unit %q", strings.TrimLeft(v[at:], " "))
}
