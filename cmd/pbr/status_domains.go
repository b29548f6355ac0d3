package main

import (
	"fmt"
	"io"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
	"pbr/kernel"
)

// domainsStatus says how DNS answers are read.
type domainsStatus struct {
	// Way is "queue", "target" (xtables' NFQUEUE), "log", or "none".
	Way string `json:"way"`
	// Holds means that answers wait until their addresses are known, so that the first connection
	// goes right.
	Holds bool `json:"holds"`
	// Reason is why there is no better way.
	Reason string `json:"reason,omitempty"`
	// Answers are those that the running watch read, to other hosts and whatever they are about;
	// nil while it reads none.
	Answers *daemon.DNSAnswers `json:"answers,omitempty"`
	// watched means that a watch runs.
	watched bool
}

// domainsOf finds the way in the rules that are in force; nil if the policy has no lists of
// domains.
func domainsOf(o *daemon.Outline, live *plan.Plan, k *kernel.Kernel) *domainsStatus {
	if !o.Domains {
		return nil
	}
	d := &domainsStatus{Way: tapWay(live)}
	d.Holds = d.Way == "queue" || d.Way == "target"
	if !d.Holds {
		d.Reason = k.TapReason()
	}
	return d
}

// watch adds what a running watch tells.
func (d *domainsStatus) watch(report *daemon.Report) {
	if d != nil && report != nil {
		d.watched, d.Answers = true, report.Answers
	}
}

func tapWay(live *plan.Plan) string {
	for i := range live.Ruleset.Chains {
		for _, r := range live.Ruleset.Chains[i].Rules {
			for _, a := range r.Actions {
				switch a.(type) {
				case plan.Queue:
					return "queue"
				case plan.QueueTarget:
					return "target"
				case plan.LogGroup:
					return "log"
				}
			}
		}
	}
	return "none"
}

// write tells in a line how the lists get their addresses.
func (d *domainsStatus) write(w io.Writer, now time.Time) {
	if d == nil {
		return
	}
	fmt.Fprint(w, "lists of domains: ")
	switch {
	case d.Way == "none" && d.Reason == "":
		fmt.Fprint(w, "they stay empty: no rule shows DNS answers to pbr watch (pbr diff, pbr apply)")
	case d.Way == "none":
		fmt.Fprintf(w, "first connection not guaranteed: DNS answers cannot be read: %s", d.Reason)
	case !d.Holds:
		fmt.Fprintf(w, "first connection not guaranteed: DNS answers are copied, not held: %s", d.Reason)
	case d.Way == "target":
		fmt.Fprint(w, "DNS answers are held until their addresses are known (by xtables' NFQUEUE)")
	default:
		fmt.Fprint(w, "DNS answers are held until their addresses are known (by nftables' queue)")
	}
	switch {
	case !d.watched && d.Way != "none":
		fmt.Fprint(w, "; nothing reads them while pbr watch does not run")
	case d.Answers != nil && d.Answers.Count > 0:
		fmt.Fprintf(w, "; %d to other hosts, the last one %s ago", d.Answers.Count, span(now.Sub(d.Answers.Last)))
	case d.Answers != nil:
		fmt.Fprint(w, "; none to other hosts so far")
	}
	fmt.Fprintln(w)
}
