package plan

import (
	"slices"

	"pbr/compiler/sorting"
)

// Changes is what turns one plan (have) into another (want). Every part is in canonical
// order; an empty Changes means that the two are the same.
type Changes struct {
	Routes     []RouteChange
	Rules      []RuleChange
	Sysctls    []SysctlChange
	Counters   []CounterChange
	Flowtables []FlowtableChange
	Sets       []SetChange
	Chains     []ChainChange
	// Foreign lists objects of the nftables table that are to go because pbr never makes them.
	Foreign []string
}

// RouteChange adds (Have nil), removes (Want nil) or replaces (both, same Key) a route.
type RouteChange struct{ Have, Want *Route }

// RuleChange adds (Have nil) or removes (Want nil) an ip rule; the kernel cannot replace one.
type RuleChange struct{ Have, Want *Rule }

// SysctlChange sets Want; Have is the live value.
type SysctlChange struct {
	Path       string
	Have, Want string
}

// CounterChange adds (Have nil) or removes (Want nil) a named counter, or replaces its comment
// (both).
type CounterChange struct{ Have, Want *Counter }

// SetChange adds (Have nil), removes (Want nil) or edits a set. With both set and Rebuild false
// only elements differ: Remove and Add, sorted, or for keys of several fields RemoveTuples and
// AddTuples. Rebuild means that type, flags, or comment differ: the set is built again in the same
// transaction.
type SetChange struct {
	Have, Want              *Set
	Rebuild                 bool
	Remove, Add             []Element
	RemoveTuples, AddTuples []Tuple
}

// ChainChange adds (Have nil), removes (Want nil) or edits a chain. With both set and Rebuild
// false only rules differ, as Edits tell. Rebuild means that hook, kind or priority differ.
type ChainChange struct {
	Have, Want *Chain
	Rebuild    bool
	Edits      []RuleEdit
}

// EditOp is one step of a chain's edit script.
type EditOp uint8

const (
	Keep EditOp = iota
	Remove
	Insert
)

// RuleEdit is one step of the shortest script that turns Have.Rules into Want.Rules. A run of N
// kept rules is one edit. Have and Want are indexes of the first rule of the run in either list.
type RuleEdit struct {
	Op         EditOp
	Have, Want int
	N          int
}

// Empty reports whether there is nothing to do.
func (c *Changes) Empty() bool {
	return len(c.Routes) == 0 && len(c.Rules) == 0 && len(c.Sysctls) == 0 && !c.Ruleset()
}

// Ruleset reports whether anything of the nftables table changes.
func (c *Changes) Ruleset() bool {
	return len(c.Counters)+len(c.Flowtables)+len(c.Sets)+len(c.Chains)+len(c.Foreign) > 0
}

// Diff returns what turns have into want, both normal (see Normalize). Neither is changed; the
// result may point into both.
func Diff(have, want *Plan) *Changes {
	c := &Changes{}
	diffRoutes(sorted(have.Routes, CompareRoutes), sorted(want.Routes, CompareRoutes), c)
	diffRules(sorted(have.Rules, CompareRules), sorted(want.Rules, CompareRules), c)
	diffSysctls(have.Sysctls, want.Sysctls, c)
	diffRuleset(&have.Ruleset, &want.Ruleset, c)
	return c
}

// sorted returns list, or a sorted copy if it is not in order: a merge of unsorted lists would
// remove and add what is on both sides.
func sorted[T any](list []T, compare func(a, b T) int) []T {
	if slices.IsSortedFunc(list, compare) {
		return list
	}
	list = slices.Clone(list)
	sorting.Func(list, compare)
	return list
}
