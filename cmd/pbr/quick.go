package main

import (
	"fmt"
	"io"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler"
	"pbr/kernel"
	"pbr/kernel/doctor"
)

// quickShown is how many findings an apply prints.
const quickShown = 3

// quickCheck reports, after an apply, what on this machine keeps the policy from working. It
// changes no exit status. If the apply failed, it also tries whether the kernel lacks a feature.
func (c command) quickCheck(k *kernel.Kernel, o *applyOptions, failed bool) {
	if o.read == nil || c.stderr == io.Discard {
		return
	}
	needs := compiler.Needs(o.read.doc)
	bare, err := k.HostFacts(needs.OfRoutes())
	if err != nil {
		return
	}
	host := k.MoreHostFacts(bare, needs)
	s := &doctor.Subject{File: o.read.display}
	s.TakeCompiled(o.read.compiled(), host, nil)
	watched := o.boot || daemon.Answers(k.Dir()) // the boot unit comes before the watch
	settings := s.SysctlPaths(host)
	seen := k.QuickFacts(bare, settings, failed)
	findings := doctor.Quick(s, seen, !watched)
	c.printQuick(findings)
	if !failed {
		noteApplied(k, o, settings, seen, findings, watched)
	}
}

// printQuick prints the first findings.
func (c command) printQuick(findings []doctor.Finding) {
	for _, f := range findings[:min(len(findings), quickShown)] {
		fmt.Fprintln(c.stderr, told(c.stderr, fmt.Sprintf("pbr: %s: %s: %s - %s", quickLevels[f.Level], f.Subject, f.Text, f.Do)))
	}
	if more := len(findings) - quickShown; more > 0 {
		fmt.Fprintf(c.stderr, "pbr: %d more findings: pbr doctor\n", more)
	}
}

// quickLevels are the levels as an apply words them: a failure is the machine's, not the apply's.
var quickLevels = map[doctor.Level]string{doctor.Fail: "problem", doctor.Warn: "warning"}
