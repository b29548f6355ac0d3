package main

import (
	"fmt"
	"maps"
	"time"

	"pbr/compiler"
	"pbr/compiler/explain"
	"pbr/compiler/plan"
	"pbr/healthcheck"
	"pbr/kernel"
	"pbr/kernel/facts"
)

// liveExplainer prepares the policy with what the kernel has, and the uplinks' health. It takes no lock: what changes meanwhile is explained as it was, or as it
// is.
func (c command) liveExplainer(f *policyFile, k *kernel.Kernel) (*explain.Explainer, error) {
	now, err := c.readSituation(f.doc, k)
	if err != nil {
		return nil, err
	}
	compiled := compiler.New(f.doc)
	want, problems := compiled.Compile(now.machine, now.down())
	if want == nil {
		return nil, c.report(f, problems)
	}
	have, err := k.Live(want)
	if err != nil {
		return nil, err
	}
	around, err := k.Surroundings(have)
	if err != nil {
		return nil, err
	}
	dropping, err := k.Dropping()
	if err != nil {
		return nil, err
	}
	have.Numbers, have.Waiting = want.Numbers, want.Waiting
	return explain.New(f.doc, want, have, explain.Live{
		Facts: *around, Health: now.reasons(), NoFlowtables: now.machine.NoFlowtables, Others: liveNotes(want, have, around.Rules), Dropping: dropWords(dropping),
		Failing: func(uplink string) *plan.Plan {
			down := maps.Clone(now.down())
			if down == nil {
				down = compiler.Health{}
			}
			last := 0
			for _, order := range down {
				last = max(last, order)
			}
			for _, family := range plan.Families {
				down[compiler.Line{Uplink: uplink, Family: family}] = last + 1
			}
			p, _ := compiled.Compile(now.machine, down)
			return p
		},
	})
}

// reasons are why uplinks are not used, by name.
func (s *situation) reasons() map[string]string {
	statuses, down := s.left.Uplinks, s.down()
	if s.watch != nil {
		statuses = s.watch.Uplinks
	}
	out := map[string]string{}
	for _, u := range statuses {
		if down.Order(u.Uplink, plan.Family(u.Version)) > 0 && out[u.Uplink] == "" {
			out[u.Uplink] = reason(u)
		}
	}
	return out
}

// reason words why an uplink is not used.
func reason(u healthcheck.Status) string {
	text := fmt.Sprintf("it is %s", u.State)
	if !u.Since.IsZero() {
		text += " since " + u.Since.Local().Format("2006-01-02 15:04:05") + fmt.Sprintf(" (%s)", span(time.Since(u.Since).Round(time.Second)))
	}
	if u.LastFailure != "" {
		text += ": " + u.LastFailure
	}
	return text
}

// dropWords tell, by hook, which chains of others drop what they do not accept.
func dropWords(chains []facts.DropChain) map[string][]string {
	out := map[string][]string{}
	for _, c := range chains {
		out[c.Hook] = append(out[c.Hook], fmt.Sprintf("chain %s of table %s (hook %s) drops what its rules do not accept", c.Chain, c.Table, c.Hook))
	}
	return out
}

// liveNotes tell what may make the kernel do otherwise than the policy says.
func liveNotes(want, have *plan.Plan, others []plan.Rule) (notes []string) {
	switch {
	case have.Ruleset.Empty() && len(have.Rules) == 0:
		notes = append(notes, "the policy is not applied: pbr apply")
	case !plan.Diff(have, want).Empty():
		notes = append(notes, "the kernel differs from the policy file, and this is what the kernel does: pbr diff shows how")
	}
	seen := map[uint32]bool{}
	for _, r := range others {
		if r.Priority > 0 && r.Priority < want.BasePriority+plan.PrioritySpan && !seen[r.Priority] {
			seen[r.Priority] = true
			notes = append(notes, fmt.Sprintf("an ip rule of others, at priority %d, comes before pbr's", r.Priority))
		}
	}
	return notes
}
