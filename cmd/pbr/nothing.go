package main

import (
	"fmt"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
	"pbr/kernel"
)

// refuseNothing refuses a policy without uplinks while the kernel holds routes of one that had
// some. Where it holds none, as after a boot, it is applied with a warning: there is nothing to
// lose.
func (c command) refuseNothing(f *policyFile, k *kernel.Kernel) error {
	if len(f.doc.Uplinks) > 0 {
		return nil
	}
	want, problems := f.compiled().Compile(plan.HostFacts{}, nil)
	if want == nil {
		return c.report(f, problems)
	}
	live, err := k.Live(want)
	if err != nil {
		return err
	}
	if len(live.Routes) > 0 {
		return daemon.NoUplinks(f.doc)
	}
	fmt.Fprintf(c.stderr, "pbr: warning: %s has no uplink: pbr routes nothing\n", f.display)
	return nil
}
