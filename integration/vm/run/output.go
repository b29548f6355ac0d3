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
	// test is the one that the next lines are about, as long as nothing of it is printed.
	test string

	passed, failed, skipped int
}

func newOutput(w io.Writer, o options) *output { return &output{w: w, o: o, onAlive: func() {}} }

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
	resultPattern = regexp.MustCompile(`^( *)--- (PASS|FAIL|SKIP|BENCH): `)
)

func (o *output) take(line string) {
	if line == guest.Alive {
		o.alive = time.Now()
		o.onAlive()
		return
	}
	if m := aboutPattern.FindStringSubmatch(line); m != nil {
		o.test = m[2]
		return
	}
	if m := resultPattern.FindStringSubmatch(line); m != nil {
		o.count(m[2], m[1] == "")
		if m[1] != "" && m[2] == "PASS" {
			return // parts of a test are news only if they fail
		}
	} else if o.test != "" && strings.HasPrefix(line, " ") {
		fmt.Fprintf(o.w, "=== %s\n", o.test)
		o.test = ""
	}
	fmt.Fprintln(o.w, line)
}

func (o *output) count(result string, whole bool) {
	switch {
	case !whole:
	case result == "PASS":
		o.passed++
	case result == "FAIL":
		o.failed++
	case result == "SKIP":
		o.skipped++
	}
}

// verdict is an error if no test passed: an empty selection proves nothing.
func (o *output) verdict() error {
	fmt.Fprintf(o.w, "in the guest: %d tests passed, %d failed, %d skipped\n", o.passed, o.failed, o.skipped)
	if o.passed+o.failed == 0 && o.o.bench == "" {
		return errors.New("the guest ran no test")
	}
	return nil
}
