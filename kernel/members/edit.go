package members

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"time"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// ErrNotMember means that the address or prefix to delete is not a member of the list.
var ErrNotMember = errors.New("not a member")

// Add adds members to a list; existing members get their new times.
func (f *File) Add(list ...Member) {
	for _, m := range list {
		if i := f.index(m); i >= 0 {
			f.Members[i] = m
		} else {
			f.Members = append(f.Members, m)
		}
	}
}

// Delete removes a member from a list. The error is ErrNotMember; it names the member that contains
// the address, if there is one.
func (f *File) Delete(m Member) error {
	if i := f.index(m); i >= 0 {
		f.Members = slices.Delete(f.Members, i, i+1)
		return nil
	}
	for _, o := range f.Members {
		if o.From.Is4() == m.From.Is4() && !m.From.Less(o.From) && !o.To.Less(m.To) {
			return fmt.Errorf("%s: %w: it is part of member %s", &m, ErrNotMember, &o)
		}
	}
	return fmt.Errorf("%s: %w", &m, ErrNotMember)
}

func (f *File) index(m Member) int {
	return slices.IndexFunc(f.Members, func(o Member) bool { return o.From == m.From && o.To == m.To })
}

// Count returns the number of members of an IP version.
func (f *File) Count(family plan.Family) int { return len(OfFamily(f.Members, family)) }

// Drop removes the members that the kernel no longer has.
func (f *File) Drop(have []nft.Member, family plan.Family) {
	f.Members = slices.DeleteFunc(f.Members, func(m Member) bool {
		return plan.FamilyOf(m.From) == family && !overlaps(have, m.From, m.To)
	})
}

// Adopt is Drop; it also takes over what the kernel has besides the stored members, which somebody
// added by other means.
func (f *File) Adopt(have []nft.Member, family plan.Family, now time.Time) {
	kept := Flatten(OfFamily(f.Members, family), now)
	f.Drop(have, family)
	for _, h := range have {
		if overlaps(kept, h.From, h.To) {
			continue
		}
		m := Member{From: h.From, To: h.To, Timeout: h.Timeout}
		if h.Timeout > 0 {
			m.Expires = now.Add(h.Expires)
		}
		f.Members = append(f.Members, m)
	}
}

// overlaps reports whether an element of a list, which is sorted and whose elements do not overlap,
// overlaps a range.
func overlaps(list []nft.Member, from, to netip.Addr) bool {
	i := sort.Search(len(list), func(i int) bool { return list[i].To.Compare(from) >= 0 })
	return i < len(list) && list[i].From.Compare(to) <= 0
}

// Edit returns what to remove from a set that holds have, and what to add, so that the members
// change from before to after.
func Edit(have []nft.Member, before, after []Member, now time.Time) (remove, add []nft.Member) {
	old, want := Flatten(before, now), Flatten(after, now)
	changed := different(old, want)
	for _, h := range have {
		if overlaps(changed, h.From, h.To) {
			remove = append(remove, h)
		}
	}
	for _, w := range want {
		if overlaps(changed, w.From, w.To) || overlaps(remove, w.From, w.To) {
			add = append(add, w)
		}
	}
	return remove, add
}

// different returns the ranges in which two lists of elements differ, sorted and without overlaps.
func different(a, b []nft.Member) []nft.Member {
	in := make(map[nft.Member]bool, len(a))
	for _, m := range a {
		in[m] = true
	}
	var out []Member
	for _, m := range b {
		if in[m] {
			delete(in, m)
		} else {
			out = append(out, Member{From: m.From, To: m.To})
		}
	}
	for m := range in {
		out = append(out, Member{From: m.From, To: m.To})
	}
	return Flatten(out, time.Time{})
}
