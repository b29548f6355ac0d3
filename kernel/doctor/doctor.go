// Package doctor judges a machine: whether its kernel, its settings and what else runs there let a
// policy work. It is a pure function from facts to findings, each of which says what to do.
package doctor

import (
	"fmt"
	"slices"
	"strings"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/facts"
)

// Level says how bad a finding is.
type Level string

// The levels. Only Fail is a reason for traffic to go wrong.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "fail"
)

// Finding is one thing that was looked at.
type Finding struct {
	// Group is one of Groups.
	Group string `json:"group"`
	Level Level  `json:"level"`
	// Subject is what was looked at, Text how it is.
	Subject string `json:"subject"`
	Text    string `json:"text"`
	// Do is what to do about it, empty if it is OK.
	Do string `json:"do,omitempty"`
}

// Groups are those of findings, in their order.
var Groups = []string{groupKernel, groupSettings, groupOthers, groupUplinks, groupPBR}

const (
	groupKernel   = "kernel"
	groupSettings = "settings"
	groupOthers   = "others"
	groupUplinks  = "uplinks"
	groupPBR      = "pbr"
)

// Subject is what the machine is to be fit for.
type Subject struct {
	// File is the policy file; Missing tells that there is none, Problem what is wrong with it,
	// Hint what to do about it if it is not for pbr check to tell, as that does not look at the
	// machine.
	File          string
	Missing       bool
	Problem, Hint string
	// Doc is nil when there is no policy, or a wrong one. Want is its plan.
	Doc  *policy.Document
	Want *plan.Plan
	// Settings are those that sysctl = true sets.
	Settings []plan.Sysctl
	// tap is how DNS answers are read, tapReason why not in a better way.
	tap       plan.Tap
	tapReason string
	// noCgroups tells that no tree of control groups is mounted.
	noCgroups bool
}

// Take makes a valid policy the subject, for a machine and the uplinks that are down.
func (s *Subject) Take(doc *policy.Document, host plan.Machine, down compiler.Health) {
	s.TakeCompiled(compiler.New(doc), host, down)
}

// TakeCompiled is Take for a policy that was compiled, as it remembers most of the work.
func (s *Subject) TakeCompiled(c *compiler.Compiler, host plan.Machine, down compiler.Health) {
	doc := c.Document()
	want, problems := c.Compile(host, down)
	if want == nil {
		s.Problem = fmt.Sprintf("%s: %s", problems[0].Pos, problems[0].Message)
		if anywhere, _ := c.Compile(plan.Machine{}, nil); anywhere != nil {
			s.Hint = problems[0].Hint
		}
		return
	}
	s.noCgroups = host.NoCgroups
	s.Doc, s.Want, s.tap, s.tapReason = doc, want, host.Tap, host.TapReason
	s.Settings = c.Settings(host, down)
}

// Tables are the routing tables that the policy owns.
func (s *Subject) Tables() (out []uint32) {
	if s.Want != nil {
		for _, n := range s.Want.Numbers {
			out = append(out, n.Table)
		}
	}
	return out
}

// mask and base are the policy's, or what they are without one.
func (s *Subject) mask() uint32 {
	if s.Want != nil {
		return s.Want.Mask
	}
	return policy.DefaultMarkMask
}

func (s *Subject) base() uint32 {
	if s.Want != nil {
		return s.Want.BasePriority
	}
	return policy.DefaultRulePriority
}

// Examine judges the facts. Findings are in the order of Groups.
func Examine(s *Subject, f *facts.Facts) []Finding {
	e := &examination{Subject: s, facts: f}
	e.kernel()
	e.settings()
	e.others()
	e.uplinks()
	e.own()
	return e.out
}

// Failed reports whether anything is wrong.
func Failed(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Level == Fail })
}

// examination is the state of one Examine.
type examination struct {
	*Subject
	facts *facts.Facts
	group string
	out   []Finding
}

func (e *examination) ok(subject, format string, args ...any) {
	e.add(OK, subject, "", format, args...)
}

func (e *examination) add(level Level, subject, do, format string, args ...any) {
	e.out = append(e.out, Finding{Group: e.group, Level: level, Subject: subject, Text: fmt.Sprintf(format, args...), Do: do})
}

// shown is how many of a list's items are named.
const shown = 10

// few joins the first of many words.
func few(words []string, separator string) string {
	if more := len(words) - shown; more > 0 {
		return strings.Join(words[:shown], separator) + fmt.Sprintf("%sand %d more", separator, more)
	}
	return strings.Join(words, separator)
}

// count is a number of things in words.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
