package dataplane

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// results holds what rounds measured: for each row and cell the net cost of each round, in
// nanoseconds per packet.
type results struct {
	rows  []*measured
	net   map[*measured]map[cell][]float64
	floor map[cell][]float64
}

// cells are the columns: established streams of both families first, because fresh ones need an
// empty connection table.
func cells() []cell {
	var list []cell
	for _, fresh := range []bool{false, true} {
		for _, f := range []family{v4, v6} {
			for _, s := range streams {
				if s.fresh == fresh {
					list = append(list, cell{s, f})
				}
			}
		}
	}
	return list
}

// run measures all rows, established streams or fresh ones as kinds says, in turns: for each cell
// of each round all rows forth and back (A B C C B A), and the floor in between.
func (b *bench) run(rounds int, progress io.Writer, kinds ...bool) *results {
	b.t.Helper()
	res := &results{rows: b.routers, net: map[*measured]map[cell][]float64{}, floor: map[cell][]float64{}}
	for _, m := range b.routers {
		res.net[m] = map[cell][]float64{}
	}
	order := slices.Clone(b.routers)
	for _, fresh := range kinds {
		sizes := map[*measured]map[cell]int{}
		for _, m := range b.routers {
			b.establish(m)
			sizes[m] = map[cell]int{}
			for _, c := range cells() {
				if c.fresh == fresh {
					sizes[m][c] = b.size(m, c)
				}
			}
		}
		for round := range rounds {
			start := time.Now()
			for _, c := range cells() {
				if c.fresh == fresh {
					b.turn(res, order, c, sizes)
				}
			}
			// another neighbour in each round
			order = append(order[1:], order[0])
			fmt.Fprintf(progress, "round %d of %d took %.1f s\n", round+1, rounds, time.Since(start).Seconds())
		}
	}
	return res
}

// turn measures a cell of all rows, forth and back.
func (b *bench) turn(res *results, order []*measured, c cell, sizes map[*measured]map[cell]int) {
	cost := map[*measured]float64{}
	once := func() {
		for _, m := range order {
			cost[m] += b.measure(m, c, sizes[m][c]).perPacket() / 2
		}
	}
	once()
	floor := b.floor(order[0], c, maxPackets)
	slices.Reverse(order)
	once()
	slices.Reverse(order)
	res.floor[c] = append(res.floor[c], floor)
	for _, m := range order {
		res.net[m][c] = append(res.net[m][c], cost[m]-floor)
	}
}

// find returns the row of a name, nil if it was not measured.
func (res *results) find(name string) *measured {
	for _, m := range res.rows {
		if m.name == name {
			return m
		}
	}
	return nil
}

// quotient is how much more one row costs than another: the median over all rounds, and half of the
// distance between the quartiles.
type quotient struct{ median, spread float64 }

func (q quotient) String() string { return fmt.Sprintf("%s ±%s", digits(q.median), digits(q.spread)) }

// digits writes three significant ones of a large number, two decimals of a small one.
func digits(v float64) string {
	if v < 9.995 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.*f", max(0, 2-int(math.Log10(v))), v)
}

// ratio compares two rows in some cells, taking the geometric mean of these within each round;
// false if packets were lost.
func (res *results) ratio(m, other *measured, in []cell) (quotient, bool) {
	if m == nil || other == nil {
		return quotient{}, false
	}
	rounds := len(res.floor[in[0]])
	list := make([]float64, rounds)
	for round := range list {
		var sum float64
		for _, c := range in {
			if m.lost[c] != "" || other.lost[c] != "" {
				return quotient{}, false
			}
			sum += math.Log(max(1, res.net[m][c][round]) / max(1, res.net[other][c][round]))
		}
		list[round] = math.Exp(sum / float64(len(in)))
	}
	slices.Sort(list)
	return quotient{quantile(list, 0.5), (quantile(list, 0.75) - quantile(list, 0.25)) / 2}, true
}

// quantile of a sorted list, interpolated.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// typical is the median cost of a row's cell in nanoseconds.
func (res *results) typical(m *measured, c cell) float64 {
	return quantile(slices.Sorted(slices.Values(res.net[m][c])), 0.5)
}
