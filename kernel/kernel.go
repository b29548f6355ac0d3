// Package kernel makes the current network namespace hold a plan, and reads back what it holds.
//
// It knows only what is pbr's: nftables table inet pbr, routes and rules of routing protocol
// plan.Protocol, the priorities, tables and mark bits that its journal says it took. Apply sends
// the difference of wanted and live state, the road before the traffic, and undoes what it did when
// any of it fails; an apply that is killed is put right by the next one, because the journal is
// written before anything is changed.
package kernel

import (
	"errors"
	"fmt"
	"strings"

	"pbr/compiler/plan"
)

// DefaultStateDir is where state is kept, one directory below it per network namespace.
const DefaultStateDir = "/run/pbr"

// ErrNoPrevious means that there is nothing to go back to.
var ErrNoPrevious = errors.New("there is no earlier state to go back to")

// Report tells what was done.
type Report struct {
	// Changes are the differences that were there before.
	Changes *plan.Changes
	// Restored are the settings that pbr no longer sets, given back their value from before.
	Restored []plan.SysctlChange
	// Cleared is how many connections lost a mark that means nothing any more; Moved is how many
	// got the new mark of the uplink that they are on.
	Cleared, Moved int
	// Pinned is how many unmarked connections were given the mark of the uplink that they are on,
	// because default leaves it.
	Pinned int
	// Restarted is how many were deleted because the strict table that they were pinned by is gone:
	// their next packet is classified anew.
	Restarted int
	// Adopted is how many connections that are older than the table were pinned to the uplink that
	// they are on; Flushed is how many of those were deleted, because they cannot work through it,
	// or it must not let them through.
	Adopted, Flushed int
	// Warnings are what could not be done and does not make the result wrong.
	Warnings []string
}

// Empty tells that nothing was to be done.
func (r *Report) Empty() bool {
	return r.Changes.Empty() && len(r.Restored) == 0 && r.Cleared == 0 && r.Moved == 0 && r.Pinned == 0 && r.Restarted == 0 &&
		r.Adopted == 0 && r.Flushed == 0
}

// LockedError says that another pbr is changing this network namespace.
type LockedError struct {
	// PID is the other process, 0 when it has not said so yet; Doing is what it does, as "apply".
	PID   int
	Doing string
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return "another pbr is at work in this network namespace"
	}
	return fmt.Sprintf("another pbr is at work in this network namespace: process %d, %s", e.PID, e.Doing)
}

// ConflictError says that what the plan is to own is someone else's. Nothing was changed.
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
		parts = append(parts, fmt.Sprintf("priorities %d-%d are in use by others (%s): choose another rule-priority",
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
		parts = append(parts, fmt.Sprintf("routing table %s has routes of others: choose another id", strings.Join(which, ", ")))
	}
	return strings.Join(parts, "; ")
}

// ApplyError says that a plan could not be applied.
type ApplyError struct {
	// Cause names the object and has the kernel's reason.
	Cause error
	// Undo is nil when everything is again as it was before; otherwise it says what is not.
	Undo error
}

func (e *ApplyError) Error() string {
	if e.Undo == nil {
		return fmt.Sprintf("%v (everything is as it was before)", e.Cause)
	}
	return fmt.Sprintf("%v (undoing what was done failed too: %v)", e.Cause, e.Undo)
}

func (e *ApplyError) Unwrap() error { return e.Cause }
