package kernel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"syscall"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/state"
)

// journalFile stores the journal.
const journalFile = "journal.json"

// journal records what pbr owns in one network namespace. It is written before anything is changed,
// so that the next run knows what a killed run may have left.
type journal struct {
	// Owned lists what the plan in force owns, and after it, until all of that is gone, what
	// earlier plans own.
	Owned []owned `json:"owned,omitempty"`
	// Next is what a plan owns that is about to come into force. If there is a Next and no apply is
	// running, that plan did not come into force.
	Next *owned `json:"next,omitempty"`
	// Unadopted means that the table was created, and older connections have not been examined
	// since.
	Unadopted bool `json:"unadopted,omitempty"`
	// Changing means that an apply has begun to change the table and has not finished: what the
	// table has less than the last finished apply left may be its work.
	Changing bool `json:"changing,omitempty"`
	// Sysctls are the settings that pbr changed, sorted by path.
	Sysctls []setting `json:"sysctls,omitempty"`
}

// owned is one plan's share of the namespace's numbers, with sorted tables.
type owned struct {
	conntrack.Marks
	BasePriority uint32   `json:"base_priority"`
	Tables       []uint32 `json:"tables,omitempty"`
	// Attempted plans never came into force, as far as is known. They may have left objects of
	// ours, but what others have in their priorities and tables was never pbr's.
	Attempted bool `json:"attempted,omitempty"`
}

// setting is a sysctl with its value before pbr's first change, and pbr's value.
type setting struct {
	Path     string `json:"path"`
	Original string `json:"original"`
	Set      string `json:"set"`
	// Dependents are the settings that the kernel overwrote with it.
	Dependents []setting `json:"followers,omitempty"`
}

// claimsOf returns what a plan owns. For a plan without Numbers it is derived from its rules and
// routes.
func claimsOf(p *plan.Plan) owned {
	o := owned{Marks: conntrack.MarksOf(p), BasePriority: p.BasePriority}
	for _, n := range p.Numbers {
		o.Tables = append(o.Tables, n.Table)
	}
	for _, r := range p.Routes {
		o.Tables = append(o.Tables, r.Table)
	}
	for _, r := range p.Rules {
		if _, known := o.Number(r.Mark); !known && p.SelectsNumber(r) {
			o.Add(plan.Number{Table: r.Table, Mark: r.Mark})
		}
	}
	slices.Sort(o.Tables)
	o.Tables = slices.Compact(o.Tables)
	o.Sort()
	return o
}

// plansMarks returns the marks of several plans.
func plansMarks(plans []owned) (out []conntrack.Marks) {
	for _, o := range plans {
		out = append(out, o.Marks)
	}
	return out
}

// other reports whether p is a different share.
func (o owned) other(p owned) bool { return !o.equal(p) }

// equal reports whether both are the same share, whether or not their plans came into force.
func (o owned) equal(p owned) bool {
	return o.Mask == p.Mask && o.Inside == p.Inside && o.BasePriority == p.BasePriority &&
		slices.Equal(o.Tables, p.Tables) && slices.Equal(o.Numbers, p.Numbers)
}

// all lists the shares of every plan of which something may be left.
func (j *journal) all() []owned {
	if j.Next == nil {
		return j.Owned
	}
	return append(slices.Clone(j.Owned), *j.Next)
}

// has reports whether a plan that was or may have been in force satisfies is.
func (j *journal) has(such func(owned) bool) bool { return slices.ContainsFunc(j.Owned, such) }

// tables lists the tables of every plan that was in force.
func (j *journal) tables() (out []uint32) {
	for _, o := range j.Owned {
		if !o.Attempted {
			out = append(out, o.Tables...)
		}
	}
	return out
}

// bases lists the first priorities of every plan that was in force.
func (j *journal) bases() (out []uint32) {
	for _, o := range j.Owned {
		if !o.Attempted {
			out = append(out, o.BasePriority)
		}
	}
	return out
}

// with returns the journal to write before applying a plan that owns o and changes the settings.
func (j *journal) with(o owned, settings []setting) *journal {
	next := &journal{Owned: slices.Clone(j.Owned), Unadopted: j.Unadopted, Changing: j.Changing, Sysctls: slices.Clone(j.Sysctls)}
	if j.Next != nil && !j.Next.equal(o) && !slices.ContainsFunc(j.Owned, j.Next.equal) {
		left := *j.Next
		left.Attempted = true
		next.Owned = append(next.Owned, left)
	}
	if len(j.Owned) == 0 || !j.Owned[0].equal(o) || j.Owned[0].Attempted {
		next.Next = &o
	}
	for _, s := range settings {
		at, found := slices.BinarySearchFunc(next.Sysctls, s.Path, settingPath)
		if found {
			next.Sysctls[at].Set = s.Set
		} else {
			next.Sysctls = slices.Insert(next.Sysctls, at, s)
		}
	}
	return next
}

// inForce returns the journal to write when the plan that owns o is in force, while connections may
// still have marks of earlier plans.
func (j *journal) inForce(o owned) *journal {
	next := &journal{Owned: []owned{o}, Unadopted: j.Unadopted, Changing: j.Changing, Sysctls: j.Sysctls}
	for _, old := range j.Owned {
		if !old.equal(o) {
			next.Owned = append(next.Owned, old)
		}
	}
	return next
}

// final returns the journal to write when the plan is in force and nothing of earlier plans is
// left: o, and the settings that it names.
func (j *journal) final(o owned, sysctls []plan.Sysctl) *journal {
	next := &journal{Owned: []owned{o}}
	for _, s := range j.Sysctls {
		if slices.ContainsFunc(sysctls, func(w plan.Sysctl) bool { return w.Path == s.Path }) {
			next.Sysctls = append(next.Sysctls, s)
		}
	}
	return next
}

// unsetSysctls lists the recorded settings that want no longer names and that still have pbr's
// value. A setting that someone else has changed since belongs to them.
func unsetSysctls(taken []setting, want []plan.Sysctl, live map[string]string) (out []plan.SysctlChange) {
	named := map[string]bool{}
	for _, s := range want {
		named[s.Path] = true
	}
	for _, s := range taken {
		if v, ok := live[s.Path]; ok && !named[s.Path] && v == s.Set && v != s.Original {
			out = append(out, plan.SysctlChange{Path: s.Path, Have: v, Want: s.Original})
		}
	}
	return out
}

func settingPath(s setting, path string) int {
	switch {
	case s.Path < path:
		return -1
	case s.Path > path:
		return 1
	}
	return 0
}

// JournalError means that the journal cannot be used, and counts as missing.
type JournalError struct {
	File string
	Err  error
}

func (e *JournalError) Error() string {
	return fmt.Sprintf("the journal %s is damaged and ignored (%v): pbr apply sets it aside, and goes on with what the kernel shows",
		e.File, e.Err)
}

func (e *JournalError) Unwrap() error { return e.Err }

// readJournal reads the journal; a missing file is an empty journal. The error for a damaged one is
// a *JournalError.
func readJournal(file string) (*journal, error) {
	j := &journal{}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if errors.Is(err, syscall.EISDIR) {
		return nil, fmt.Errorf("the journal %s is a directory: remove it (rm -r %[1]s), then run the command again", file)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	if err := json.Unmarshal(b, j); err != nil {
		return nil, &JournalError{File: file, Err: err}
	}
	return j, nil
}

// replaceJournal writes next unless it equals was; an empty journal has no file.
func replaceJournal(file string, was, next *journal) error {
	if reflect.DeepEqual(was, next) {
		return nil
	}
	if reflect.DeepEqual(next, &journal{}) {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the journal: %w", err)
		}
		return nil
	}
	b, err := json.Marshal(next)
	if err == nil {
		err = state.Replace(file, b)
	}
	if err != nil {
		return &UnwrittenError{Err: err}
	}
	return nil
}

// UnwrittenError means that the journal could not be written. Nothing that needs it was done.
type UnwrittenError struct{ Err error }

func (e *UnwrittenError) Error() string { return fmt.Sprintf("writing the journal: %v", e.Err) }

func (e *UnwrittenError) Unwrap() error { return e.Err }

// Unwritten reports whether an error means that the journal could not be written.
func Unwritten(err error) bool {
	var unwritten *UnwrittenError
	return errors.As(err, &unwritten)
}

// needs reports whether next has anything new compared with was that has to be recorded before a
// change. Unadopted and Changing alone only matter to a run after a kill.
func (j *journal) needs(next *journal) bool {
	n := *next
	n.Unadopted, n.Changing = j.Unadopted, j.Changing
	return !reflect.DeepEqual(j, &n)
}
