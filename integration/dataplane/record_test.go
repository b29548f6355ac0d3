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
	Spread float64            `json:"spread"`
	Rows   map[string]figures `json:"rows"`
}

// summary returns what is recorded of runs. It fails if packets were lost, or if the runs spread
// more than the gate allows for: what they say would then be chance.
func summary(runs []map[string]figures) (*recording, error) {
	r := &recording{Machine: page.Machine(), Runs: len(runs), Rows: map[string]figures{}}
	var spreads []float64
	for row := range runs[0] {
		r.Rows[row] = figures{}
		for kind := range kinds() {
			var list []figure
			for _, run := range runs {
				if f, counts := run[row][kind]; counts {
					list = append(list, f)
				}
			}
			if len(list) < len(runs) {
				return nil, fmt.Errorf("%s, %s: packets did not arrive on the right uplink: nothing is recorded", row, kind)
			}
			f := typicalOf(list)
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

// typicalOf returns the median of figures. Their spread is half of the distance between the
// quartiles of the ratios, as they would be with the median's base.
func typicalOf(list []figure) figure {
	var bases, ratios []float64
	for _, f := range list {
		bases = append(bases, f.Base)
	}
	slices.Sort(bases)
	least := quantile(bases, 0.5)
	for _, f := range list {
		ratios = append(ratios, f.at(least))
	}
	slices.Sort(ratios)
	return figure{thousandths(quantile(ratios, 0.5)), thousandths(least),
		thousandths((quantile(ratios, 0.75) - quantile(ratios, 0.25)) / 2)}
}

func thousandths(v float64) float64 { return math.Round(v*1000) / 1000 }

// differences returns what the recording changes, a line for each figure.
func (r *recording) differences(was map[string]figures) (list []string) {
	for row, kinds := range r.Rows {
		for kind, f := range kinds {
			before := "nothing"
			if v, there := was[row][kind]; there {
				before = fmt.Sprintf("%.3f with a base of %.3f", v.Ratio, v.Base)
			}
			list = append(list, fmt.Sprintf("%s, %s: %.3f ±%.3f with a base of %.3f, was %s", row, kind, f.Ratio, f.Spread, f.Base, before))
		}
	}
	slices.Sort(list)
	return list
}

// recorded returns what was recorded last.
func recorded() (map[string]figures, error) {
	text, err := os.ReadFile(recordedFile)
	if err != nil {
		return nil, fmt.Errorf("reading the recorded ratios: %w", err)
	}
	var r recording
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("reading %s: %w", recordedFile, err)
	}
	return r.Rows, nil
}

// recordAgain measures pbr's rows several times and records the medians in the place of all that is
// recorded.
func recordAgain(b *testing.B, pattern *regexp.Regexp, rounds int) {
	var runs []map[string]figures
	for i := range recordedRuns {
		b.Run(fmt.Sprintf("run %d of %d", i+1, recordedRuns), func(b *testing.B) {
			bench := newBench(b)
			for _, c := range chosen(pattern) {
				if c.name == base || c.name == frozen || strings.HasPrefix(c.name, prefixOwn) {
					bench.add(c)
				}
			}
			for b.Loop() {
				runs = append(runs, bench.run(rounds, os.Stderr, false, true).toFrozen())
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
	run := func(ratio, least float64) map[string]figures {
		all := figures{}
		for kind := range kinds() {
			all[kind] = figure{Ratio: ratio, Base: least}
		}
		return map[string]figures{row: all}
	}
	r, err := summary([]map[string]figures{run(1.02, 0.5), run(0.99, 0.5), run(1, 0.5), run(1.01, 0.5), run(1.4, 0.5)})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Rows[row]["IPv4 new"]; got != (figure{1.01, 0.5, 0.01}) || r.Spread != 0.01 || r.Runs != 5 {
		t.Errorf("recorded are %+v, of %d runs with a spread of %v", got, r.Runs, r.Spread)
	}
	r, err = summary([]map[string]figures{run(0.75, 0.5), run(0.75, 0.5), run(0.833, 0.667)})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Rows[row]["IPv4 new"]; got != (figure{0.75, 0.5, 0}) {
		t.Errorf("runs that differ in the base alone spread: %+v", got)
	}
	lost := run(1, 0.5)
	delete(lost[row], "IPv6 new")
	for what, runs := range map[string][]map[string]figures{
		"packets were lost": {run(1, 0.5), lost}, "runs differ": {run(1, 0.5), run(1.2, 0.5)},
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
			if f := list[kind]; f.Ratio <= 0 || f.Base <= 0 || f.Base >= 1 {
				t.Errorf("%s has %+v for %s", row, f, kind)
			}
		}
	}
}
