package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
)

// policiesShown bounds the table of policies; --json has all of them.
const policiesShown = 40

// writeSteering writes policies and rules. If there are many policies, it omits those without
// traffic or problems.
func writeSteering(w io.Writer, s *statusResult) {
	shown := s.Policies
	if len(shown) > policiesShown {
		shown = slices.DeleteFunc(slices.Clone(shown), func(p steeringStatus) bool {
			return p.Problem == "" &&
				(p.Hits == nil || *p.Hits == 0)
		})
		shown = shown[:min(len(shown), policiesShown)]
	}
	var comments []string
	rows := [][]string{{"POLICY", "TARGET", "USES", "HITS", "PROBLEM"}}
	for _, p := range shown {
		hits := "-"
		if p.Hits != nil {
			hits = fmt.Sprint(*p.Hits)
		}
		rows = append(rows, []string{p.Name, targetText(p.Target), usesText(&p), hits, dash(p.Problem)})
		comments = append(comments, p.Comment)
	}
	writeTable(w, withComments(rows, comments))
	if n := len(s.Policies) - len(shown); n > 0 {
		fmt.Fprintf(w, "%d more policies: pbr status --json lists all of them\n", n)
	}
	rows, comments = [][]string{{"RULE", "PRIORITY", "TARGET", "USES", "PROBLEM"}}, nil
	for _, r := range s.Rules {
		target := targetText(r.Target)
		if r.Target.Kind == "" {
			target = r.Action
		}
		rows = append(rows, []string{r.Name, fmt.Sprint(r.Priority), target, usesText(&r.steeringStatus), dash(r.Problem)})
		comments = append(comments, r.Comment)
	}
	writeTable(w, withComments(rows, comments))
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

// usesText names the uplinks; those of both versions once where they are the same. Of a policy for
// one version it names those of that version.
func usesText(s *steeringStatus) string {
	four, six := s.Uplinks[versionKey(plan.IPv4)], s.Uplinks[versionKey(plan.IPv6)]
	if s.only != 0 {
		return dash(strings.Join(s.Uplinks[versionKey(s.only)], " "))
	}
	if slices.Equal(four, six) || len(six) == 0 {
		return dash(strings.Join(four, " "))
	}
	return fmt.Sprintf("%s, IPv6 %s", dash(strings.Join(four, " ")), strings.Join(six, " "))
}
