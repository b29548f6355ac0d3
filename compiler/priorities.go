package compiler

import "pbr/compiler/plan"

// The order of pbr's ip rules, as offsets from rule-priority. Rules that cannot both match, or
// that do the same, share a priority. The gaps leave room for a person's own rule in between.
const (
	// priorityOwnCard: "from ADDRESS to NETWORK lookup PINNED", where two cards are in one network.
	priorityOwnCard = 0
	// priorityMainFirst: the routes of main that come before everything.
	priorityMainFirst = 0
	// priorityMainSecond: the same, where there are rules at priorityOwnCard.
	priorityMainSecond = 1
	// priorityMark: packets without a mark skip what is for marks, where that is much.
	priorityMark = 100
	// priorityTree, and up to priorityTreeEnd: "fwmark MARK lookup TABLE", one per table, in the
	// order of their tree; marks differ, so that order is for speed alone.
	priorityTree = 101
	// priorityTreeEnd: where packets continue that need look no further among the marks.
	priorityTreeEnd = 189
	// prioritySourceMain: main's specific routes for packets from an uplink's address, where marks
	// come before them.
	prioritySourceMain = 190
	// prioritySource: "from ADDRESS lookup PINNED", one per address of an uplink.
	prioritySource = 200
	// priorityUser: the policy file's rules, in their order, up to but not including priorityMain.
	priorityUser = plan.UnmarkedOffset
	// priorityMain: main's specific routes, where main-first put them behind marks and rules.
	priorityMain = 900
	// priorityDefault: the default table. Kernel's main and default come after it (32766, 32767).
	priorityDefault = 990
)
