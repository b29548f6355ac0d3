package main

import (
	"reflect"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/cmd/pbr/insync"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/kernel"
	"pbr/kernel/doctor"
	"pbr/kernel/facts"
)

// beside is all that an apply looks at beside what a plan is made of and what the kernel holds.
type beside struct {
	// Facts are for the quick look at the machine; Watched means that a watch runs.
	Facts   *facts.Facts
	Watched bool
	// Noted are the records of which policy is in force.
	Noted   []applied.FileMark
	Dnsmasq applied.Seen
}

// besideNow reads it, beside host facts that were read for no needs.
func besideNow(k *kernel.Kernel, host plan.HostFacts, watched bool, settings []string, dnsmasq string) *beside {
	b := &beside{Facts: k.QuickFacts(host, settings, false), Watched: watched, Noted: applied.Open(k.Dir()).Marks()}
	if dnsmasq != "" {
		b.Dnsmasq = applied.Look(dnsmasq)
	}
	return b
}

// plain reports whether an apply is one of the file that the command line names, for good and at
// once.
func (o *applyOptions) plain() bool {
	return o.confirm == 0 && o.wait == 0 && !o.reload && !o.boot && !o.again
}

// nothingToDo returns what an apply did if all that it would do is done already, and says what it
// would say; nil if it may have something to do. With a running watch that has to keep the kernel
// to the same policy.
func (c command) nothingToDo(ctx *cli.Context, k *kernel.Kernel, o *applyOptions, watched bool) *daemon.Applied {
	if pending, err := k.Pending(); !o.plain() || err != nil || pending != nil {
		return nil
	}
	r := inSyncStill(ctx, k)
	if r == nil || r.Applied == nil || insync.Of(besideNow(k, r.host, watched, r.Applied.Settings, r.Applied.Dnsmasq)) != r.Applied.Beside {
		return nil
	}
	done := &daemon.Applied{Deferred: r.Deferred}
	if watched {
		if done = daemon.Held(k.Dir(), daemon.PolicyID(r.Policy)); done == nil {
			return nil
		}
	} else if r.Applied.Clock {
		c.warnOf("noting when the policy was applied", k.NoteClock())
	}
	f := reread(r.Record)
	_, _ = c.report(f, r.Parsed), c.report(f, r.FallsBack)
	c.warnOf("noting which lists persist", persist(r.Applied.Persist, k))
	c.printQuick(r.Applied.Findings)
	return done
}

// noteApplied notes that an apply has nothing to do any more, with what the quick look found.
func noteApplied(k *kernel.Kernel, o *applyOptions, settings []string, seen *facts.Facts, findings []doctor.Finding, watched bool) {
	if o.found == nil || !o.plain() || o.dnsmasq {
		return
	}
	r := o.found.record()
	if r == nil {
		return
	}
	doc := o.found.file.doc
	r.Applied = &insync.Applied{
		Settings: settings, Findings: findings, Dnsmasq: doc.Settings.Dnsmasq, Clock: compiler.Needs(doc).Clock,
		Persist: persistentLists(doc),
	}
	now := besideNow(k, seen.Host, watched, settings, doc.Settings.Dnsmasq)
	now.Facts = seen // what was judged, whatever changed since
	r.Applied.Beside = insync.Of(now)
	r.Write(recordFile(k))
}

// noteHanded notes that a watch that was handed a policy had nothing to do for it.
func (c command) noteHanded(k *kernel.Kernel, o *applyOptions, done *daemon.Applied) {
	s := o.found
	if s == nil || len(done.Changed)+len(done.Warnings) > 0 {
		o.found = nil
		return
	}
	have, held, err := k.LiveHeld(s.want)
	if err != nil || !plan.Diff(have, s.want).Empty() {
		o.found = nil
		return
	}
	s.held = held
}

// situationFor returns the one of several that was for a machine; nil if none was.
func situationFor(host plan.HostFacts, all ...*situation) *situation {
	for _, s := range all {
		if s != nil && reflect.DeepEqual(s.host, host) {
			return s
		}
	}
	return nil
}
