package conntrack

import (
	"strings"

	"pbr/compiler/plan"
)

// Migration maps the ct marks of earlier plans to the wanted plan. A connection keeps the name that
// its mark stood for, whatever mark that name has now, and loses the mark when the name is gone.
type Migration struct {
	Want Marks
	// Earlier are the plans that may have marked connections. The first one that has a mark decides
	// what it means.
	Earlier []Marks
	// Rollback means that the wanted plan comes back after another one failed. Connections of names
	// that it does not have began in between, so each has to be classified again.
	Rollback bool
}

// MarkFilter finds connections by their mark under a mask.
type MarkFilter struct{ mark, mask uint32 }

// All finds every connection.
func All() MarkFilter { return MarkFilter{} }

// Bit finds the connections that have a bit in their mark.
func Bit(bit uint32) MarkFilter { return MarkFilter{bit, bit} }

// Unmarked finds the connections that have no bit of mask in their mark.
func Unmarked(mask uint32) MarkFilter { return MarkFilter{0, mask} }

// Stale lists the marks of earlier plans that stand for another name in the wanted plan. Where two
// plans gave a number to different names, each connection decides, see After.
func (r *Migration) Stale() map[uint32][]uint32 {
	out := map[uint32][]uint32{}
	seen := map[MarkFilter]bool{}
	for _, o := range r.Earlier {
		for _, n := range o.Numbers {
			f := MarkFilter{n.Mark, o.Mask}
			kept := o.Mask == r.Want.Mask && r.Successor(o.Mask, n) == n.Mark
			if n.Mark != 0 && !kept && !seen[f] {
				seen[f] = true
				out[o.Mask] = append(out[o.Mask], n.Mark)
			}
		}
	}
	return out
}

// Successor returns the wanted plan's mark for what a number stood for; 0 if there is none. It is
// the mark of the uplink with the same interface, whose address its connections have, or else of
// the same name. An uplink's strict table is named as a variant of the uplink; if it is gone,
// the uplink's own mark is used. A number without a name keeps its mark if that is still in use.
func (r *Migration) Successor(mask uint32, n plan.Number) uint32 {
	if n.Name == "" {
		if _, used := r.Want.Number(n.Mark); used && mask == r.Want.Mask {
			return n.Mark
		}
		return 0
	}
	name, variant := n.Of()
	var best, found uint32
	for _, w := range r.Want.Numbers {
		if k := likeness(n, w, name, variant); k > best {
			best, found = k, w.Mark
		}
	}
	return found
}

// likeness returns how well a wanted number replaces an earlier one; 0 means not at all. Where a
// mark does not say which side opened the connection, its successor does not either.
func likeness(n, w plan.Number, name, variant string) uint32 {
	wanted, wantedVariant := w.Of()
	sameInterface := n.Interface != "" && n.Interface == w.Interface
	switch {
	case w.Inside && !n.Inside:
		return 0
	case variant != wantedVariant && wantedVariant != "" && !bothStrict(variant, wantedVariant):
		return 0
	case !sameInterface && name != wanted:
		return 0
	}
	k := uint32(1)
	switch {
	case variant == wantedVariant:
		k += 4
	case bothStrict(variant, wantedVariant):
		k += 3 // more than the uplink's own number, which is not strict
	}
	if sameInterface {
		k += 2
	}
	if name == wanted {
		k++
	}
	k *= 2
	if n.Inside && w.Inside {
		k++
	}
	return k
}

// bothStrict reports whether numbers of these variants both keep their connections from using
// another uplink.
func bothStrict(a, b string) bool {
	return strings.HasPrefix(a, "strict") && strings.HasPrefix(b, "strict")
}

// Meaning returns the bits that a connection with this mark ends up with, under mask, which is the
// mask of all plans that know the mark and of the wanted plan. known is the mask of the earlier
// plans alone; 0 means that no plan knows the mark.
func (r *Migration) Meaning(mark uint32) (bits, mask, known uint32) {
	for _, o := range r.Earlier {
		n, has := o.Number(mark & o.Mask)
		if !has {
			continue
		}
		if known == 0 {
			bits = r.Successor(o.Mask, n)
		}
		known |= o.Mask
	}
	return bits, known | r.Want.Mask, known
}

// Orphaned reports whether the mark belonged to a strict table that is gone together with its
// uplink; in a rollback, whether it belonged to any number that is gone. Without a mark its
// connections would use default, which strict forbids; they have to be classified again.
func (r *Migration) Orphaned(mark uint32) bool {
	for _, o := range r.Earlier {
		if n, has := o.Number(mark & o.Mask); has {
			return (n.IsVariant() || r.Rollback) && r.Successor(o.Mask, n) == 0
		}
	}
	return false
}

// aliases reports whether the mark means something other than bits in the wanted plan.
func (r *Migration) aliases(mark, bits uint32) bool {
	_, used := r.Want.Number(mark & r.Want.Mask)
	return used && mark&r.Want.Mask != bits
}

// Before returns how to change a connection's mark before the wanted plan has any effect: a mark
// that the wanted plan gives to another name is cleared.
func (r *Migration) Before(mark uint32) (bits, mask uint32, change bool) {
	bits, mask, known := r.Meaning(mark)
	if known&r.Want.Mask != 0 && r.aliases(mark, bits) {
		return 0, mask, true
	}
	return 0, 0, false
}

// Ambiguous reports whether a connection marked by the wanted plan can look like one with this mark
// of an earlier plan.
func (r *Migration) Ambiguous(mark, mask uint32) bool {
	for _, w := range r.Want.Numbers {
		if bits, _, _ := r.Meaning(mark); w.Mark != 0 && w.Mark&mask == mark && w.Mark != bits {
			return true
		}
	}
	return false
}

// After returns how to change a connection's mark when the wanted plan is in force. A mark that
// stood for another name has by then been set by the wanted plan.
func (r *Migration) After(mark uint32) (bits, mask uint32, change bool) {
	bits, mask, known := r.Meaning(mark)
	return bits, mask, known != 0 && mark&mask != bits && (known&r.Want.Mask == 0 || !r.aliases(mark, bits))
}
