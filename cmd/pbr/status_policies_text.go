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

// writeSteering writes policies and rules. Of many policies those that nothing happens to are left out.
func writeSteering(w io.Writer, s *statusResult) {
	shown := s.Policies
	if len(shown) > policiesShown {
		shown = slices.DeleteFunc(slices.Clone(shown), func(p steeringStatus) bool { return p.Problem == "" && (p.Hits == nil || *p.Hits == 0) })
		shown = shown[:min(len(shown), policiesShown)]
	}
	rows := [][]string{{"POLICY", "TARGET", "USES", "HITS", "PROBLEM"}}
	for _, p := range shown {
		hits := "-"
		if p.Hits != nil {
			hits = fmt.Sprint(*p.Hits)
		}
		rows = append(rows, []string{p.Name, targetText(p.Target), usesText(p.Uplinks), hits, dash(p.Problem)})
	}
	writeTable(w, rows)
	if n := len(s.Policies) - len(shown); n > 0 {
		fmt.Fprintf(w, "%d more policies: pbr status --json has all of them\n", n)
	}
	rows = [][]string{{"RULE", "PRIORITY", "TARGET", "USES", "PROBLEM"}}
	for _, r := range s.Rules {
		target := targetText(r.Target)
		if r.Target.Kind == "" {
			target = r.Action
		}
		rows = append(rows, []string{r.Name, fmt.Sprint(r.Priority), target, usesText(r.Uplinks), dash(r.Problem)})
	}
	writeTable(w, rows)
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

// usesText names the uplinks; those of both versions once where they are the same.
func usesText(uplinks map[string][]string) string {
	four, six := uplinks[versionKey(plan.IPv4)], uplinks[versionKey(plan.IPv6)]
	if slices.Equal(four, six) || len(six) == 0 {
		return dash(strings.Join(four, " "))
	}
	return fmt.Sprintf("%s, IPv6 %s", dash(strings.Join(four, " ")), strings.Join(six, " "))
}
