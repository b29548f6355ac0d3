// Package dataplane measures what pbr costs per packet, beside no policy routing at all and beside what others do. A stream of
// packets is injected into the router's device from within the kernel by one thread, whose CPU time pays for everything that happens to
// them. Ratios are taken within a round, so they mean something on any machine; nothing fails because a machine is slow.
package dataplane

import (
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
	docs   = flag.Bool("write", false, "put table and plot into docs/")
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
	n := 20
	if *quick {
		n = 6
	}
	if *rounds > 0 {
		n = *rounds
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
		if !*docs {
			continue
		}
		if err := res.document(*apart); err != nil {
			b.Fatal(err)
		}
	}
}

// chosen are the rows that the flags ask for.
func chosen(pattern *regexp.Regexp) []config {
	if *apart {
		return steps()
	}
	return slices.DeleteFunc(configs(), func(c config) bool {
		return c.name != base && (!pattern.MatchString(c.name) || *quick && !slices.Contains(quickRows, c.name))
	})
}
