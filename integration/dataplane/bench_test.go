// Package dataplane measures what pbr costs per packet, beside no policy routing at all and beside
// what others do. A stream of packets is injected into the router's device from within the kernel
// by one thread, whose CPU time pays for everything that happens to them. Ratios are taken within a
// round, so they mean something on any machine; nothing fails because a machine is slow.
package dataplane

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"pbr/integration/lab"
)

var (
	quick  = flag.Bool("quick", false, "few rows and rounds")
	rounds = flag.Int("rounds", 0, "how often each row is measured (0: as many as the mode has)")
	apart  = flag.Bool("steps", false, "take pbr apart, instead of the usual rows")
	only   = flag.String("only", "", "measure the rows whose names match this expression, and the base")
	docs   = flag.Bool("write", false, "measure all rows, and put table and plot into docs/")
	record = flag.Bool("record", false,
		"measure several times, and make the ratios to the frozen ruleset those that later runs are held to")
)

// program is the pbr that is measured.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	path, remove, err := lab.Program()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	program = path
	return m.Run()
}

// BenchmarkDataplane prints the tables.
func BenchmarkDataplane(b *testing.B) {
	pattern, err := regexp.Compile(*only)
	if err != nil {
		b.Fatal(err)
	}
	n := 12
	if *quick {
		n = 6
	}
	if *rounds > 0 {
		n = *rounds
	}
	if *record {
		recordAgain(b, pattern, cmp.Or(*rounds, recordedRounds))
		return
	}
	bench := newBench(b)
	for _, c := range chosen(pattern) {
		start := time.Now()
		bench.add(c)
		fmt.Fprintf(os.Stderr, "%s: set up in %.1f s\n", c.name, time.Since(start).Seconds())
	}
	for b.Loop() {
		res := bench.run(n, os.Stderr, false, true)
		res.write(os.Stdout)
		if *docs {
			if err := res.document(*apart); err != nil {
				b.Fatal(err)
			}
		}
		worse, err := res.worse()
		if err != nil {
			b.Fatal(err)
		}
		for _, w := range worse {
			b.Error(w)
		}
	}
}

// chosen are the rows that the flags ask for.
func chosen(pattern *regexp.Regexp) []config {
	if *apart {
		return steps()
	}
	wanted := usualRows
	switch {
	case *quick:
		wanted = quickRows
	case *docs || *only != "":
		wanted = nil
	}
	return slices.DeleteFunc(configs(), func(c config) bool {
		return c.name != base && c.name != frozen && (!pattern.MatchString(c.name) || wanted != nil && !slices.Contains(wanted, c.name))
	})
}
