package main

import (
	"fmt"
	"io"

	"pbr/compiler/plan"
	"pbr/kernel"
)

// domainsStatus tells how DNS answers are read.
type domainsStatus struct {
	// Way is "queue", "target" (xtables' NFQUEUE), or "log".
	Way string `json:"way"`
	// Holds tells that answers wait until their addresses are known, so that the first connection
	// goes right.
	Holds bool `json:"holds"`
	// Reason is why there is no better way.
	Reason string `json:"reason,omitempty"`
}

// domainsOf finds the way in the rules that are in force.
func domainsOf(live *plan.Plan, k *kernel.Kernel) *domainsStatus {
	for i := range live.Ruleset.Chains {
		for _, r := range live.Ruleset.Chains[i].Rules {
			for _, a := range r.Actions {
				switch a.Kind {
				case plan.Queue:
					return &domainsStatus{Way: "queue", Holds: true}
				case plan.QueueTarget:
					return &domainsStatus{Way: "target", Holds: true}
				case plan.LogGroup:
					return &domainsStatus{Way: "log", Reason: k.TapReason()}
				}
			}
		}
	}
	return nil
}

// write says what is not as good as it could be.
func (d *domainsStatus) write(w io.Writer) {
	if d != nil && !d.Holds {
		fmt.Fprintf(w, "lists of domains: first connection not guaranteed: DNS answers are copied, not held: %s\n", d.Reason)
	}
}
