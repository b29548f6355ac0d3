package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"pbr/compiler/sorting"
)

// Severity tells an error from a warning.
type Severity uint8

const (
	Error Severity = iota
	Warning
)

// Diagnostic is one finding about a policy file.
type Diagnostic struct {
	Pos      Pos
	Severity Severity
	// Code is stable and short, as "unknown-key"; docs/policy.md lists them all.
	Code string
	// Key is the TOML key it is about, as "uplink.gateway"; may be empty.
	Key string
	// Message says what is wrong, in lower case, naming the object.
	Message string
	// Hint says what to write instead; may be empty.
	Hint string
}

func (d Diagnostic) Error() string {
	s := d.Message
	if d.Hint != "" {
		s += ": " + d.Hint
	}
	return fmt.Sprintf("%s: %s [%s]", d.Pos, s, d.Code)
}

func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Diagnostics are sorted by place, errors and warnings mixed.
type Diagnostics []Diagnostic

// HasErrors reports whether any of them is an error.
func (ds Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == Error })
}

// Sort puts them in the order of the file.
func (ds Diagnostics) Sort() {
	sorting.Func(ds, func(a, b Diagnostic) int {
		return cmp.Or(strings.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
}
