package nft

import (
	"errors"

	"pbr/compiler/plan"
)

// ErrChanged means that someone changed the namespace's nftables since the state that a
// change was computed from was read. Nothing was applied: read again and retry.
var ErrChanged = errors.New("nftables changed meanwhile")

// Live is the table as the kernel holds it.
type Live struct {
	// Ruleset is in the compiler's order: counters and sets by name, chains as they were made.
	Ruleset plan.Ruleset
	// Generation is the namespace's nftables generation that Ruleset was read at.
	Generation uint32

	// Leftover is why something is still there beside Ruleset's objects that it replaced; nil if
	// nothing is known to be.
	Leftover error

	// Traced means that a chain of a running pbr trace was omitted: when that ends without removing
	// it, it shows although nothing of nftables has changed.
	Traced bool

	// identity names the namespace that it was read in.
	identity string
	// exists tells an empty table from none.
	exists bool
	// rebuild is set when the table itself is not as pbr makes it (flags, comment), so that it has
	// to be recreated.
	rebuild bool
	// handles has the kernel's handle of each rule, by chain and rule as in Ruleset.Chains.
	handles [][]uint64
	// pieces are the parts of the snapshot that it was loaded from, as far as they still hold.
	pieces pieces
	// foreign are the objects behind Ruleset.Foreign that have a message of their own to delete
	// them.
	foreign []foreignObject
	// bCopies names the sets that the kernel has as their B copy.
	bCopies map[string]bool
	// irregular names the interval sets in which an interval ends only where the next begins: their
	// elements cannot be deleted one by one.
	irregular map[string]bool
}

// foreignObject is a stateful object of the given type (NFT_OBJECT_*, linux/netfilter/nf_tables.h).
type foreignObject struct {
	object uint32
	name   string
}
