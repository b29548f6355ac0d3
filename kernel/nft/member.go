package nft

import (
	"cmp"
	"net/netip"
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// Member is an element of a run-time set (plan.Set.RunTime): an address, or a range of them in a
// set with intervals.
type Member struct {
	// From and To are the first and the last address, of one IP version.
	From, To netip.Addr
	// Timeout is how long the member stays after it was added, 0 for ever. The kernel counts in
	// milliseconds.
	Timeout time.Duration
	// Expires is how much of Timeout is left; 0 of a member to be added is all of it.
	Expires time.Duration
}

// Holds reports whether an address is in the member.
func (m *Member) Holds(a netip.Addr) bool {
	return m.From.Is4() == a.Is4() && !a.Less(m.From) && !m.To.Less(a)
}

// left is how long the member still stays.
func (m *Member) left() time.Duration {
	switch {
	case m.Timeout == 0:
		return 1<<63 - 1
	case m.Expires > 0:
		return m.Expires
	}
	return m.Timeout
}

// Edit is what happens to a run-time set's members.
type Edit struct {
	Set         *plan.Set
	Remove, Add []Member
}

// sortMembers sorts members by their first address.
func sortMembers(list []Member) {
	sorting.Func(list, func(a, b Member) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
}

// Seeds returns the members that a run-time set gets when it is created without an earlier one to
// copy from. They do not overlap. The set is named as in the plan.
type Seeds func(set string) []Member
