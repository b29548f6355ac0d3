// Package members stores what commands added to lists while the policy is in force. A set that has
// to be created empty gets these members back: after somebody deleted the table, and for lists that
// persist, after a reboot.
//
// A list has members as they were added, which may overlap. A kernel set cannot hold overlapping
// elements: Flatten converts one into the other.
package members

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"pbr/compiler/interval"
	"pbr/compiler/plan"
	"pbr/kernel/internal/boot"
	"pbr/kernel/nft"
	"pbr/kernel/state"
)

// Kind says who stored the members of a file.
type Kind string

const (
	// Added members come from pbr lists add.
	Added Kind = "added"
	// Learned members come from DNS answers.
	Learned Kind = "learned"
)

// kinds are all kinds.
var kinds = []Kind{Added, Learned}

// dirName is where the files are, in the state directory.
const dirName = "members"

// Member is an address or a range of addresses, as it was added.
type Member struct {
	From netip.Addr `json:"from"`
	To   netip.Addr `json:"to"`
	// Timeout is how long it stays after it was added, and Expires is when it ends; 0 means for
	// ever.
	Timeout time.Duration `json:"timeout,omitempty"`
	Expires time.Time     `json:"expires,omitzero"`
	// Name is the domain name that the address belongs to, if any.
	Name string `json:"name,omitempty"`
}

// Left returns how much of a member's time is left; for a member that stays for ever it is the
// longest duration.
func (m *Member) Left(now time.Time) time.Duration {
	if m.Timeout == 0 {
		return 1<<63 - 1
	}
	return min(m.Expires.Sub(now), m.Timeout)
}

// String returns the member as the policy file would write it.
func (m *Member) String() string {
	if m.From == m.To {
		return m.From.String()
	}
	for bits := range m.From.BitLen() {
		if p := netip.PrefixFrom(m.From, bits); p.Masked() == p && interval.LastAddr(p) == m.To {
			return p.String()
		}
	}
	return m.From.String() + "-" + m.To.String()
}

// File is the stored content of a list.
type File struct {
	// Boot is the boot in which it was written. Persist means that it is still valid after a
	// reboot.
	Boot    string `json:"boot"`
	Persist bool   `json:"persist"`
	// Saved is when it was written. A clock that is behind it, as before the time is set, is
	// ignored.
	Saved   time.Time `json:"saved"`
	Members []Member  `json:"members"`
}

// bootID is empty where the kernel has none.
func bootID() string {
	id, _ := boot.ID()
	return id
}

// Load returns the stored members of a list, except those whose time is over. A file from an
// earlier boot that does not persist counts as empty, and so does a damaged one, which the error
// reports.
func Load(dir state.Dir, list string, kind Kind, now time.Time) (*File, error) {
	f := &File{}
	err := dir.Sub(dirName).Load(fileName(list, kind), f)
	if errors.Is(err, fs.ErrNotExist) {
		return &File{}, nil
	}
	if err != nil {
		return &File{}, err
	}
	if !f.Persist && f.Boot != bootID() {
		return &File{}, nil
	}
	behind := f.Saved.Sub(now)
	f.Members = slices.DeleteFunc(f.Members, func(m Member) bool {
		return !m.From.IsValid() || !m.To.IsValid() || m.From.Is4() != m.To.Is4() || m.To.Less(m.From)
	})
	for i := range f.Members {
		if m := &f.Members[i]; behind > 0 && m.Timeout > 0 {
			m.Expires = m.Expires.Add(-behind)
		}
	}
	f.Members = slices.DeleteFunc(f.Members, func(m Member) bool { return m.Left(now) <= 0 })
	return f, nil
}

// Save replaces the stored content of a list.
func Save(dir state.Dir, list string, kind Kind, f *File, now time.Time) error {
	f.Boot, f.Saved = bootID(), now
	return dir.Sub(dirName).Save(fileName(list, kind), f)
}

// Remove removes all stored members of all lists.
func Remove(dir state.Dir) error {
	if err := dir.Sub(dirName).RemoveAll(); err != nil {
		return fmt.Errorf("removing the members of lists: %w", err)
	}
	return nil
}

// SetPersist records whether the members added to lists persist, as the policy in force says.
func SetPersist(dir state.Dir, persist map[string]bool, now time.Time) error {
	var errs []error
	for list, is := range persist {
		f, err := Load(dir, list, Added, now)
		if err == nil && f.Persist != is && len(f.Members) > 0 {
			f.Persist = is
			err = Save(dir, list, Added, f, now)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Lock waits until no other process changes the stored members.
func Lock(dir state.Dir) (unlock func(), err error) {
	unlock, err = dir.Sub(dirName).Lock()
	if err != nil {
		return nil, fmt.Errorf("saving the members of lists: %w", err)
	}
	return unlock, nil
}

func fileName(list string, kind Kind) string { return list + "." + string(kind) + ".json" }

// Seeds returns the members for a run-time set that is created empty; it is nft.Seeds.
func Seeds(dir state.Dir, now func() time.Time) nft.Seeds {
	return func(set string) []nft.Member {
		list, family, ok := plan.ListOf(set)
		if !ok {
			return nil
		}
		var all []Member
		for _, kind := range kinds {
			if f, err := Load(dir, list, kind, now()); err == nil { // -- a damaged file is ignored
				all = append(all, f.Members...)
			}
		}
		return Flatten(OfFamily(all, family), now())
	}
}

// OfFamily returns the members of an IP version.
func OfFamily(all []Member, family plan.Family) []Member {
	var out []Member
	for _, m := range all {
		if plan.FamilyOf(m.From) == family {
			out = append(out, m)
		}
	}
	return out
}
