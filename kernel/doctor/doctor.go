// Package doctor judges a machine: whether its kernel, its settings and other programs let a policy
// work. It is a pure function from facts to findings; each finding says what to do.
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

// Finding is the result of one check.
type Finding struct {
	// Group is one of Groups.
	Group string `json:"group"`
	Level Level  `json:"level"`
	// Subject is what was checked, Text is the result.
	Subject string `json:"subject"`
	Text    string `json:"text"`
	// Do is what to do about it; empty if the level is OK.
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

// Subject is the policy that the machine is judged for.
type Subject struct {
	// File is the policy file. Missing means that it does not exist. Problem is what is wrong with
	// it; Hint is what to do about that where pbr check cannot say it, because pbr check does not
	// read the machine.
	File          string
	Missing       bool
	Problem, Hint string
	// Other says that another file is in force, and OtherHint what to do; both empty if none is.
	Other, OtherHint string
	// Rejected says that the file's trial was undone, RejectedHint what to do; empty if it was not.
	Rejected, RejectedHint string
	// Doc is nil if there is no policy, or an invalid one. Want is its plan.
	Doc  *policy.Document
	Want *plan.Plan
	// Settings are those that sysctl = true sets.
	Settings []plan.Sysctl
	// tap is how DNS answers are read; tapReason is why not in a better way.
	tap       plan.Tap
	tapReason string
	// noCgroups means that cgroup v2 is not mounted.
	noCgroups bool
}

// Take makes a valid policy the subject, for the host facts and the uplinks that are down.
func (s *Subject) Take(doc *policy.Document, host plan.HostFacts, down compiler.Health) {
	s.TakeCompiled(compiler.New(doc), host, down)
}

// TakeCompiled is Take for a policy that is compiled already, which saves most of the work.
func (s *Subject) TakeCompiled(c *compiler.Compiler, host plan.HostFacts, down compiler.Health) {
	doc := c.Document()
	want, problems := c.Compile(host, down)
	if want == nil {
		s.Problem = fmt.Sprintf("%s: %s", problems[0].Pos, problems[0].Message)
		if anywhere, _ := c.Compile(plan.HostFacts{}, nil); anywhere != nil {
			s.Hint = problems[0].Hint
		}
		return
	}
	s.noCgroups = host.NoCgroups
	s.Doc, s.Want, s.tap, s.tapReason = doc, want, host.Tap, host.TapReason
	s.Settings = c.Settings(host, down)
}

// Tables returns the routing tables that the policy owns.
func (s *Subject) Tables() (out []uint32) {
	if s.Want != nil {
		for _, n := range s.Want.Numbers {
			out = append(out, n.Table)
		}
	}
	return out
}

// mask and base are the policy's, or the defaults without a policy.
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

// Failed reports whether any finding is a failure.
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

// shown is how many of a list's items are printed.
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
