package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
)

// policiesShown bounds the table of policies; --json has all of them.
const policiesShown = 40

// fewPolicies reports whether each policy has a line of its own.
func (f folding) fewPolicies(s *statusResult) bool {
	return !bool(f) || len(s.Policies) <= policiesShown
}

// writeSteering writes policies and rules. If there are many, it omits those without traffic or
// problems.
func (f folding) writeSteering(w io.Writer, s *statusResult) {
	shown := s.Policies
	if !f.fewPolicies(s) {
		shown = noteworthy(shown)
		shown = shown[:min(len(shown), policiesShown)]
	}
	var comments []string
	rows := [][]string{{"POLICY", "TARGET", "USES", "HITS", "PROBLEM"}}
	for _, p := range shown {
		hits := "-"
		if p.Hits != nil {
			hits = fmt.Sprint(*p.Hits)
		}
		rows = append(rows, []string{p.Name, targetText(p.Target), f.usesText(&p), hits, dash(p.Problem)})
		comments = append(comments, p.Comment)
	}
	writeTable(w, withComments(rows, comments))
	writeLeft(w, len(shown), len(s.Policies), "policies")
	f.writeRules(w, s.Rules)
}

// noteworthy returns the policies with problems, and then those with traffic.
func noteworthy(list []steeringStatus) (out []steeringStatus) {
	var busy []steeringStatus
	for _, p := range list {
		switch {
		case p.Problem != "":
			out = append(out, p)
		case p.Hits != nil && *p.Hits > 0:
			busy = append(busy, p)
		}
	}
	return append(out, busy...)
}

// writeRules writes the rules. If there are many, it omits those without problems: the kernel does
// not count what they match.
func (f folding) writeRules(w io.Writer, rules []ruleStatus) {
	shown := rules
	if !f.few(len(rules)) {
		shown = slices.DeleteFunc(slices.Clone(rules), func(r ruleStatus) bool { return r.Problem == "" })
	}
	var comments []string
	rows := [][]string{{"RULE", "PRIORITY", "TARGET", "USES", "PROBLEM"}}
	for _, r := range shown {
		target := targetText(r.Target)
		if r.Target.Kind == "" {
			target = r.Action
		}
		rows = append(rows, []string{r.Name, fmt.Sprint(r.Priority), target, f.usesText(&r.steeringStatus), dash(r.Problem)})
		comments = append(comments, r.Comment)
	}
	writeTable(w, withComments(rows, comments))
	writeLeft(w, len(shown), len(rules), "rules")
}

// writeLeft says how many are not among those shown.
func writeLeft(w io.Writer, shown, all int, what string) {
	if shown == 0 && all > 0 {
		fmt.Fprintln(w) // where the table would be
	}
	if n := all - shown; n > 0 {
		fmt.Fprintf(w, "%d more %s: pbr status --all lists them\n", n, what)
	}
}

// withComments adds a column of comments to rows with a head, if there is any comment.
func withComments(rows [][]string, comments []string) [][]string {
	if strings.Join(comments, "") == "" {
		return rows
	}
	rows[0] = append(rows[0], "COMMENT")
	for i, text := range comments {
		rows[i+1] = append(rows[i+1], text)
	}
	return rows
}

// disabledText names the objects that have no effect; empty if there are none.
func disabledText(list []daemon.OutlineDisabled) string {
	names := make([]string, len(list))
	for i, d := range list {
		if names[i] = strings.TrimSpace(d.Kind + " " + d.Name); d.Comment != "" {
			names[i] += " (" + d.Comment + ")"
		}
	}
	return strings.Join(names, ", ")
}

func targetText(t daemon.OutlineTarget) string {
	text := t.Kind
	if t.Name != "" {
		text += " " + t.Name
	}
	if t.Strict {
		text += ", strict"
	}
	return text
}

// windowText is when a window begins: without the day, if that is within a day.
func windowText(at, now time.Time) string {
	if at.Sub(now) < 24*time.Hour {
		return at.Local().Format("15:04")
	}
	return at.Local().Format("Mon 2006-01-02 15:04")
}

// usesText names the uplinks; those of both versions once where they are the same. Of a policy for
// one version it names those of that version.
func (f folding) usesText(s *steeringStatus) string {
	switch {
	case s.Outside && s.NextWindow != nil:
		return "- (outside its schedule until " + windowText(*s.NextWindow, time.Now()) + ")"
	case s.Outside:
		return "- (outside its schedule)"
	}
	four, six := s.Uplinks[versionKey(plan.IPv4)], s.Uplinks[versionKey(plan.IPv6)]
	if s.only != 0 {
		return dash(f.join(s.Uplinks[versionKey(s.only)], " "))
	}
	if slices.Equal(four, six) || len(six) == 0 {
		return dash(f.join(four, " "))
	}
	return fmt.Sprintf("%s, IPv6 %s", dash(f.join(four, " ")), f.join(six, " "))
}
