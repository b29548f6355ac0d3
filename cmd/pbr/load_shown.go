package main

import (
	"fmt"
	"path/filepath"
	"time"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/kernel"
)

// loadShown is load for commands that only show what the kernel does: while the file is broken or
// missing, they go on with the policy in force, as it was when it was applied, and say so. Where
// none of that file is in force, the file's errors are the result.
func (c command) loadShown(ctx *cli.Context, k *kernel.Kernel) (*policyFile, error) {
	f, err := load(ctx)
	if err == nil && !f.diagnostics.HasErrors() {
		return f, c.report(f, f.diagnostics)
	}
	held, at := heldPolicy(ctx, k)
	if held == nil {
		if err == nil {
			err = c.report(f, f.diagnostics)
		}
		return nil, err
	}
	wrong := fmt.Sprint(err)
	if err == nil {
		_ = c.report(f, f.diagnostics)
		wrong = fmt.Sprintf("policy file %s is broken", f.display)
	}
	fmt.Fprintf(c.stderr, "pbr: warning: %s: going on with the policy in force, applied %s ago\n", wrong, span(time.Since(at)))
	return held, nil
}

// heldPolicy is the policy in force as it was when it was applied, and when that was; nil if that is
// not known, or if another file than the command line's was applied.
func heldPolicy(ctx *cli.Context, k *kernel.Kernel) (*policyFile, time.Time) {
	name, err := configName(ctx)
	if err != nil {
		return nil, time.Time{}
	}
	path, err := filepath.Abs(name)
	s := applied.Open(k.Dir())
	now := s.InForce()
	if err != nil || now == nil || now.Path != path {
		return nil, time.Time{}
	}
	for _, read := range []func() (*applied.Policy, error){s.Trial, s.Kept} {
		if p, err := read(); err == nil && p.Hash == now.Hash {
			if f := loadAgain(p); !f.diagnostics.HasErrors() {
				return f, now.At
			}
		}
	}
	return nil, time.Time{}
}
