package doctor

import (
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// own judges the policy file and pbr's own state on the machine.
func (e *examination) own() {
	e.group = groupPBR
	switch {
	case e.Missing:
		e.add(Warn, "policy", "write one, or name yours with --config FILE",
			"there is no file %s: only what every policy needs was checked", e.File)
	case e.Problem != "":
		do := "run pbr check for details"
		if e.Hint != "" {
			do = e.Hint
		}
		e.add(Fail, "policy", do, "%s", e.Problem)
	default:
		e.ok("policy", "%s", e.File)
	}
	if e.Other != "" {
		e.add(Warn, "policy", e.OtherHint, "%s", e.Other)
	}
	s := e.facts.State
	if s.Unwritable != "" {
		e.add(Fail, "state", "make it writable for root, like /run: pbr needs it to apply and to undo",
			"nothing can be written to %s", s.Unwritable)
	} else if s.Dir != "" && !e.isUnknown("state") {
		e.ok("state", "%s", s.Dir)
	}
	if s.Pending != "" {
		level := Warn
		if s.Orphaned {
			level = Fail
		}
		e.add(level, "confirm", "pbr confirm keeps it, pbr revert undoes it now", "%s", s.Pending)
	}
	e.inForce()
	e.lists()
	e.watch()
	e.hook()
	e.unknown("state", "live state", "pbr watch")
}

// hook judges the program that runs for events.
func (e *examination) hook() {
	switch h := e.facts.Hook; {
	case h == nil:
	case h.Trouble != "" && h.Do == "":
		e.add(Warn, "hook", "install it, or correct hook in [watch]", "%s: %s", h.Path, h.Trouble)
	case h.Trouble != "":
		e.add(Warn, "hook", h.Do, "%s: %s", h.Path, h.Trouble)
	default:
		e.ok("hook", "%s", h.Path)
	}
}

// inForce reports whether the kernel has what the policy plans.
func (e *examination) inForce() {
	s := e.facts.State
	switch {
	case e.Want == nil || !s.Compared:
	case e.Rejected != "":
		e.add(Warn, "policy", e.RejectedHint, "%s", e.Rejected)
	case !s.Taken:
		e.add(Warn, "kernel", "pbr apply --confirm 60s", "the policy was never applied")
	case s.Behind > 0 && e.Other != "":
		e.add(Warn, "kernel", "pbr diff shows the differences; pbr apply would replace the policy in force", "differs from %s in %s",
			e.File, count(s.Behind, "object"))
	case s.Behind > 0:
		e.add(Warn, "kernel", "pbr diff shows the differences, pbr apply repairs them", "differs from the policy in %s",
			count(s.Behind, "object"))
	default:
		e.ok("kernel", "holds the policy")
	}
	e.deferred()
	e.names()
}

// deferred reports what is deferred, except what a kernel without flowtables cannot do: flowtable
// reports that.
func (e *examination) deferred() {
	if e.Want == nil {
		return
	}
	told := 0
	for i, w := range e.Want.Deferred {
		switch {
		case w.Object == plan.DeferredTap: // -- names reports it
		case w.Object == plan.DeferredOffload && e.facts.Host.NoFlowtables:
		case w.Object == plan.DeferredOffload:
			e.add(Warn, w.Object, "omit hardware, or interfaces that need no offload", "%s", w.Reason)
		case told == shown:
			e.add(Warn, "uplinks", "pbr diff --json has all of them", "%d more are deferred", len(e.Want.Deferred)-i)
			return
		default:
			told++
			e.add(Warn, w.Object, "run pbr apply when it is there, or pbr watch", "deferred: %s", w.Reason)
		}
	}
}

// watch reports whether the uplinks that have a check are being checked.
func (e *examination) watch() {
	if e.facts.State.WatchPID != 0 {
		e.ok("watch", "runs, process %d", e.facts.State.WatchPID)
		return
	}
	if e.Doc == nil || e.isUnknown("pbr watch") {
		return
	}
	checked := slices.ContainsFunc(e.Doc.Uplinks, func(u policy.Uplink) bool { return u.Check.Method != policy.CheckNone })
	if !checked {
		e.ok("watch", "does not run, and no uplink has a check")
		return
	}
	e.add(Warn, "watch", "systemctl enable --now pbr.service, or pbr watch",
		"does not run: an uplink that fails without losing its carrier keeps its traffic")
}
