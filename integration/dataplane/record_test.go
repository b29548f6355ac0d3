package dataplane

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pbr/integration/page"
)

const (
	recordedFile = "testdata/recorded.json"
	// recordedRuns is how many runs a recording takes the median of. Each sets its routers up
	// again: where the kernel's hash tables have their elements differs, too.
	recordedRuns = 5
	// recordedRounds is how many rounds each of these runs has.
	recordedRounds = 6
)

// recording is what later runs are held to.
type recording struct {
	Machine string `json:"machine"`
	Runs    int    `json:"runs"`
	// Spread is the machine's: the median of all figures' spreads.
	Spread float64                      `json:"spread"`
	Rows   map[string]map[string]figure `json:"rows"`
}

// figure is a ratio to the frozen row: the median of the runs, and half of the distance between
// their quartiles.
type figure struct {
	Ratio  float64 `json:"ratio"`
	Spread float64 `json:"spread"`
}

// summary returns what is recorded of runs. It fails if packets were lost, or if the runs spread
// more than the gate allows for: what they say would then be chance.
func summary(runs []map[string]ratios) (*recording, error) {
	r := &recording{Machine: page.Machine(),
		Runs: len(runs), Rows: map[string]map[string]figure{}}
	var spreads []float64
	for row := range runs[0] {
		r.Rows[row] = map[string]figure{}
		for kind := range kinds() {
			var list []float64
			for _, run := range runs {
				if v, counts := run[row][kind]; counts {
					list = append(list, v)
				}
			}
			if len(list) < len(runs) {
				return nil, fmt.Errorf("%s, %s: packets did not arrive on the right uplink: nothing is recorded", row, kind)
			}
			slices.Sort(list)
			f := figure{thousandths(quantile(list, 0.5)), thousandths((quantile(list, 0.75) - quantile(list, 0.25)) / 2)}
			r.Rows[row][kind] = f
			spreads = append(spreads, f.Spread)
		}
	}
	slices.Sort(spreads)
	if r.Spread = thousandths(quantile(spreads, 0.5)); r.Spread > tolerance {
		return nil, fmt.Errorf("the runs differ by ±%.3f, more than the gate's %.2f: nothing is recorded; "+
			"try again when the machine has less to do",
			r.Spread, tolerance)
	}
	return r, nil
}

func thousandths(v float64) float64 { return math.Round(v*1000) / 1000 }

// ratios returns the figures without their spread.
func (r *recording) ratios() map[string]ratios {
	all := map[string]ratios{}
	for row, figures := range r.Rows {
		all[row] = ratios{}
		for kind, f := range figures {
			all[row][kind] = f.Ratio
		}
	}
	return all
}

// differences returns what the recording changes, a line for each figure.
func (r *recording) differences(was map[string]ratios) (list []string) {
	for row, figures := range r.Rows {
		for kind, f := range figures {
			before := "nothing"
			if v, there := was[row][kind]; there {
				before = fmt.Sprintf("%.3f", v)
			}
			list = append(list, fmt.Sprintf("%s, %s: %.3f ±%.3f, was %s", row, kind, f.Ratio, f.Spread, before))
		}
	}
	slices.Sort(list)
	return list
}

// recorded returns what was recorded last.
func recorded() (map[string]ratios, error) {
	text, err := os.ReadFile(recordedFile)
	if err != nil {
		return nil, fmt.Errorf("reading the recorded ratios: %w", err)
	}
	var r recording
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("reading %s: %w", recordedFile, err)
	}
	return r.ratios(), nil
}

// recordAgain measures pbr's rows several times and records the medians in the place of all that is
// recorded.
func recordAgain(b *testing.B, pattern *regexp.Regexp, rounds int) {
	var runs []map[string]ratios
	for i := range recordedRuns {
		b.Run(fmt.Sprintf("run %d of %d", i+1, recordedRuns), func(b *testing.B) {
			bench := newBench(b)
			for _, c := range chosen(pattern) {
				if c.name == base || c.name == frozen || strings.HasPrefix(c.name, prefixOwn) {
					bench.add(c)
				}
			}
			for b.Loop() {
				runs = append(runs, bench.run(rounds, os.Stderr, false, true).toFrozen(0))
			}
		})
	}
	if b.Failed() {
		return
	}
	r, err := summary(runs)
	if err == nil {
		err = r.replace(os.Stdout)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// replace writes the recording, and returns how it differs from the one before.
func (r *recording) replace(told *os.File) error {
	was, err := recorded()
	if err != nil {
		was = nil // in another form
	}
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("writing %s: %w", recordedFile, err)
	}
	if err := os.WriteFile(recordedFile, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("recording the ratios: %w", err)
	}
	for _, line := range r.differences(was) {
		fmt.Fprintln(told, line)
	}
	fmt.Fprintf(told, "Recorded: medians of %d runs in integration/dataplane/%s; spread of this machine ±%.3f (%s).\n",
		r.Runs, recordedFile, r.Spread, r.Machine)
	return nil
}

// A recording has the median of the runs and their spread; runs that lost packets, or differ too
// much, are none.
func TestRecordingIsTheMedianOfRuns(t *testing.T) {
	t.Parallel()
	const row = prefixOwn + "a"
	run := func(v float64) map[string]ratios {
		r := ratios{}
		for kind := range kinds() {
			r[kind] = v
		}
		return map[string]ratios{row: r}
	}
	r, err := summary([]map[string]ratios{run(1.02), run(0.99), run(1), run(1.01), run(1.4)})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Rows[row]["IPv4 new"]; got != (figure{1.01, 0.01}) || r.Spread != 0.01 || r.Runs != 5 {
		t.Errorf("recorded are %+v, of %d runs with a spread of %v", got, r.Runs, r.Spread)
	}
	if got := r.ratios()[row]["IPv4 new"]; got != 1.01 {
		t.Errorf("later runs are held to %v", got)
	}
	lost := run(1)
	delete(lost[row], "IPv6 new")
	for what, runs := range map[string][]map[string]ratios{
		"packets were lost": {run(1), lost}, "runs differ": {run(1), run(1.2)},
	} {
		if _, err := summary(runs); err == nil {
			t.Errorf("although %s, something is recorded", what)
		}
	}
}

// What is recorded can be read, and names rows and kinds that there are.
func TestRecordedRowsExist(t *testing.T) {
	t.Parallel()
	all, err := recorded()
	if err != nil || len(all) == 0 {
		t.Fatalf("recorded are %v: %v", all, err)
	}
	for row, list := range all {
		if !slices.ContainsFunc(configs(), func(c config) bool { return c.name == row }) {
			t.Errorf("%s is no row any more: record again", row)
		}
		for kind := range kinds() {
			if list[kind] <= 0 {
				t.Errorf("%s has nothing for %s", row, kind)
			}
		}
	}
}
