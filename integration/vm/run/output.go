package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"pbr/integration/vm/guest"
)

// output passes on what the guest's tests say, line by line as it comes, less what `go test` would
// not say either, and counts.
type output struct {
	w       io.Writer
	o       options
	alive   time.Time
	onAlive func()
	// processor is the time that the guest took of the machine's processors.
	processor time.Duration

	line bytes.Buffer
	// test is the one that the next lines are about, and named whether they were told so.
	test  string
	named bool
	// said is what tests said, by their names less those of their parts, unless they passed.
	said map[string][]string

	passed, skipped int
	// failed are the names of the tests that failed, programs how many programs came to their end.
	failed   []string
	programs int
}

func newOutput(w io.Writer, o options) *output {
	return &output{w: w, o: o, onAlive: func() {}, said: map[string][]string{}}
}

// Write takes a piece of the guest's output.
func (o *output) Write(p []byte) (int, error) {
	for _, c := range p {
		switch c {
		case '\r':
		case '\n':
			o.take(o.line.String())
			o.line.Reset()
		default:
			o.line.WriteByte(c)
		}
	}
	return len(p), nil
}

// flush takes what the guest left of a line.
func (o *output) flush() {
	if o.line.Len() > 0 {
		o.take(o.line.String())
		o.line.Reset()
	}
}

var (
	// aboutPattern is a line that says which test the lines after it belong to.
	aboutPattern  = regexp.MustCompile(`^=== (RUN|PAUSE|CONT|NAME) +(.*)$`)
	resultPattern = regexp.MustCompile(`^( *)--- (PASS|FAIL|SKIP|BENCH): (\S+)`)
	// endPattern is what a program says when all of its tests have ended.
	endPattern = regexp.MustCompile(`^(PASS|FAIL)$`)
)

func (o *output) take(line string) {
	if line == guest.Alive {
		o.alive = time.Now()
		o.onAlive()
		return
	}
	if m := aboutPattern.FindStringSubmatch(line); m != nil {
		o.test, o.named = m[2], false
		return
	}
	if m := resultPattern.FindStringSubmatch(line); m != nil {
		if m[1] != "" && m[2] == "PASS" {
			return // parts of a test are news only if they fail
		}
		o.keep(m[3], line)
		if m[1] == "" {
			o.count(m[2], m[3])
		}
	} else if o.test != "" && strings.HasPrefix(line, " ") {
		if !o.named {
			fmt.Fprintf(o.w, "=== %s\n", o.test)
			o.named = true
		}
		o.keep(o.test, line)
	} else if endPattern.MatchString(line) {
		o.programs++
	}
	fmt.Fprintln(o.w, line)
}

// keep remembers a line of a test or of one of its parts.
func (o *output) keep(test, line string) {
	whole, _, _ := strings.Cut(test, "/")
	o.said[whole] = append(o.said[whole], line)
}

func (o *output) count(result, test string) {
	switch result {
	case "PASS":
		o.passed++
		delete(o.said, test)
	case "FAIL":
		o.failed = append(o.failed, test)
	case "SKIP":
		o.skipped++
	}
}

// failsMax is how many tests may fail and be run again: more is not an accident.
const failsMax = 5

// again returns the options of a guest that runs the failed tests again, each by itself, and
// reports whether that is wanted and would prove as much: all programs came to their end.
func (o *output) again(programs int) (options, bool) {
	again := o.o
	again.rerun, again.alone = false, true
	names := make([]string, len(o.failed))
	for i, name := range o.failed {
		names[i] = regexp.QuoteMeta(name)
	}
	again.run = "^(" + strings.Join(names, "|") + ")$"
	return again, o.o.rerun && o.o.bench == "" && o.programs == programs && len(names) > 0 && len(names) <= failsMax
}

// verdict is an error if no test passed: an empty selection proves nothing.
func (o *output) verdict() error {
	fmt.Fprintf(o.w, "in the guest: %d tests passed, %d failed, %d skipped\n", o.passed, len(o.failed), o.skipped)
	if o.passed+len(o.failed) == 0 && o.o.bench == "" {
		return errors.New("the guest ran no test")
	}
	return nil
}
