// Package kernel makes the current network namespace hold a plan, and reads back what it holds.
//
// It only touches what is pbr's: nftables table inet pbr, routes and rules of routing protocol
// plan.Protocol, and the priorities, tables and mark bits that its journal lists. Apply sends the
// difference between the wanted and the live state: routes and rules before the ruleset that marks
// packets for them. If a step fails, it rolls back the changes. If it is killed, the next apply
// repairs the state, because the journal is written before anything is changed.
package kernel

import (
	"errors"
	"fmt"
	"strings"

	"pbr/compiler/plan"
	"pbr/kernel/confirm"
)

// DefaultStateDir is where state is kept, in one directory per network namespace.
const DefaultStateDir = "/run/pbr"

// ErrNoPrevious means that there is no saved state to go back to.
var ErrNoPrevious = confirm.ErrNoPrevious

// Pending is an apply that will be undone at a given time unless it is confirmed before.
type Pending = confirm.Pending

// Report says what was done.
type Report struct {
	// Changes are the differences before the apply.
	Changes *plan.Changes
	// Restored are the settings that pbr no longer sets; they got their earlier value back.
	Restored []plan.SysctlChange
	// Cleared is how many connections lost a mark that no longer means anything. Moved is how many
	// got the new mark of the uplink that they use.
	Cleared, Moved int
	// Pinned is how many unmarked connections got the mark of the uplink that they use, because
	// default leaves it.
	Pinned int
	// Restarted is how many were deleted because their strict table is gone; their next packet is
	// classified again.
	Restarted int
	// Adopted is how many connections older than the table were pinned to the uplink that they use.
	// Flushed is how many of them were deleted, because they cannot work through the table, or
	// because a strict policy forbids their uplink.
	Adopted, Flushed int
	// Exposed is how many of Flushed a strict policy forbids although nothing translated them: a
	// packet of the far end that comes later than Apply waits can begin one from outside.
	Exposed int
	// Warnings are failures that do not make the result wrong.
	Warnings []string
	// Held is what to look at to find later that nothing has changed; nil where that cannot be told
	// so.
	Held *Held
}

// Empty reports whether nothing had to be done.
func (r *Report) Empty() bool {
	return r.Changes.Empty() && len(r.Restored) == 0 && r.Cleared == 0 && r.Moved == 0 && r.Pinned == 0 && r.Restarted == 0 &&
		r.Adopted == 0 && r.Flushed == 0
}

// LockedError means that another pbr is at work in this network namespace.
type LockedError struct {
	// PID is the other process, 0 if it has not written it yet. Doing is what it does, such as
	// "apply".
	PID   int
	Doing string
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return "another pbr is at work in this network namespace"
	}
	return fmt.Sprintf("another pbr is at work in this network namespace: process %d, %s", e.PID, e.Doing)
}

// ConflictError means that the plan needs something that belongs to someone else. Nothing was
// changed.
type ConflictError struct {
	Rules  []plan.Rule
	Routes []plan.Route
	// BasePriority is the wanted plan's.
	BasePriority uint32
}

func (e *ConflictError) Error() string {
	var parts []string
	if len(e.Rules) > 0 {
		seen := map[string]bool{}
		var which []string
		for _, r := range e.Rules {
			s := fmt.Sprintf("ip -%d rule %d", r.Family, r.Priority)
			if !seen[s] {
				seen[s] = true
				which = append(which, s)
			}
		}
		parts = append(parts, fmt.Sprintf("ip rule priorities %d-%d: in use by others (%s): choose another rule-priority",
			e.BasePriority, e.BasePriority+plan.PrioritySpan-1, strings.Join(which, ", ")))
	}
	if len(e.Routes) > 0 {
		tables := map[uint32]bool{}
		var which []string
		for _, r := range e.Routes {
			if !tables[r.Table] {
				tables[r.Table] = true
				which = append(which, fmt.Sprint(r.Table))
			}
		}
		parts = append(parts, fmt.Sprintf("routing table %s: has routes of others: choose another id", strings.Join(which, ", ")))
	}
	return strings.Join(parts, "; ")
}

// CrowdedError means that strict connections cannot keep their uplink while numbers change.
type CrowdedError struct{ Mask uint32 }

func (e *CrowdedError) Error() string {
	return fmt.Sprintf("mark-mask 0x%08x: no value is free, so strict connections would leave through another uplink while the "+
		"numbers change: write a mark-mask with one more bit, one that the old mask does not have either, or remove a table "+
		"first; pbr flush before pbr apply also works, but nothing is strict in between", e.Mask)
}

// Unfit reports whether an error means that the plan itself has to change: another try is of no
// use.
func Unfit(err error) bool {
	var taken *ConflictError
	var crowded *CrowdedError
	return errors.As(err, &taken) || errors.As(err, &crowded)
}

// ApplyError means that a plan could not be applied.
type ApplyError struct {
	// Cause names the object and the kernel's reason.
	Cause error
	// Undo is nil if everything is as it was before; otherwise it names what is not.
	Undo error
}

func (e *ApplyError) Error() string {
	if e.Undo == nil {
		return fmt.Sprintf("%v (everything is as it was before)", e.Cause)
	}
	return fmt.Sprintf("%v (the rollback failed too: %v)", e.Cause, e.Undo)
}

func (e *ApplyError) Unwrap() error { return e.Cause }
