package integration

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"pbr/compiler"
	"pbr/compiler/layers"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel"
)

// applyAs makes a policy the router's as apply does, but with its classification in the given form,
// and returns the plan.
func (r *router) applyAs(text string, form layers.Form, down compiler.Health) *plan.Plan {
	r.T().Helper()
	r.write(text)
	doc, problems := policy.Parse(os.DirFS(filepath.Dir(r.file)), filepath.Base(r.file), r.file)
	if problems.HasErrors() {
		r.T().Fatalf("%v\nthe policy:\n%s", problems, text)
	}
	c := compiler.New(doc)
	c.Form = form
	var want *plan.Plan
	var err error
	r.Do(func() {
		var k *kernel.Kernel
		if k, err = kernel.Open(kernel.DefaultStateDir); err != nil {
			return
		}
		defer k.Close()
		var host plan.HostFacts
		if host, err = k.HostFacts(compiler.Needs(doc)); err != nil {
			return
		}
		if want, problems = c.Compile(host, down); want != nil {
			_, err = k.Apply(context.Background(), want)
		}
	})
	if err != nil || want == nil {
		r.T().Fatalf("applying a policy: %v %v\nthe policy:\n%s", err, problems, text)
	}
	return want
}

// numbers are the names of the tables that the policy file's marks stand for.
func (r *router) numbers() map[uint32]string {
	r.T().Helper()
	doc, problems := policy.Parse(os.DirFS(filepath.Dir(r.file)), filepath.Base(r.file), r.file)
	if problems.HasErrors() {
		r.T().Fatal(problems)
	}
	p, problems := compiler.Compile(doc, plan.HostFacts{}, nil)
	if p == nil {
		r.T().Fatal(problems)
		return nil
	}
	names := map[uint32]string{}
	for _, n := range p.Numbers {
		if n.Mark != 0 {
			names[n.Mark], names[n.Mark|p.Inside] = n.Name, n.Name
		}
	}
	return names
}

// structures counts the maps of a plan's classification by what they are.
func structures(p *plan.Plan, count map[string]int) {
	for _, s := range p.Ruleset.Sets {
		if !s.Map || !strings.HasPrefix(s.Name, "classify") {
			continue
		}
		kind := "exact"
		switch {
		case s.Interval:
			kind = "intervals"
		case strings.Contains(s.Name, "/"):
			kind = "masked"
		}
		if len(s.Concat) > 0 {
			kind += " of several fields"
		}
		count[kind]++
	}
}
