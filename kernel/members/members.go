// Package members keeps what commands added to lists while the policy is in force, so that a set
// that has to be made where there was none gets it back: after somebody deleted the table, and for
// lists that persist after a restart of the machine.
//
// A list has members as they were added, which may overlap. A set of the kernel holds no two
// elements that overlap: Flatten makes one of the other.
package members

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
	"pbr/kernel/state"
)

// Kind is who keeps the members of a file.
type Kind string

const (
	// Added are those of pbr lists add.
	Added Kind = "added"
	// Learned are those of DNS answers.
	Learned Kind = "learned"
)

// kinds are all of them.
var kinds = []Kind{Added, Learned}

// dirName is where the files are, in the state directory.
const dirName = "members"

// Member is an address, or a range of them, as it was added.
type Member struct {
	From netip.Addr `json:"from"`
	To   netip.Addr `json:"to"`
	// Timeout is how long it stays after it was added, and Expires when that ends; 0 is for ever.
	Timeout time.Duration `json:"timeout,omitempty"`
	Expires time.Time     `json:"expires,omitzero"`
	// Name is the name that it is an address of, if there is one.
	Name string `json:"name,omitempty"`
}

// Left is how much of a member's time is left; a member that stays for ever has the longest time
// that there is.
func (m *Member) Left(now time.Time) time.Duration {
	if m.Timeout == 0 {
		return 1<<63 - 1
	}
	return min(m.Expires.Sub(now), m.Timeout)
}

// String is the member as the policy file would write it.
func (m *Member) String() string {
	if m.From == m.To {
		return m.From.String()
	}
	for bits := range m.From.BitLen() {
		if p := netip.PrefixFrom(m.From, bits); p.Masked() == p && plan.LastAddr(p) == m.To {
			return p.String()
		}
	}
	return m.From.String() + "-" + m.To.String()
}

// File is what is kept of a list.
type File struct {
	// Boot is the machine's start that it was written in, Persist whether it counts after another
	// one.
	Boot    string `json:"boot"`
	Persist bool   `json:"persist"`
	// Saved is when it was written. A clock that is behind it, as before the time is set, does not
	// count.
	Saved   time.Time `json:"saved"`
	Members []Member  `json:"members"`
}

// bootIDFile has a number that is new with each boot (proc_sys_kernel(5)).
const bootIDFile = "/proc/sys/kernel/random/boot_id"

func bootID() string {
	b, err := os.ReadFile(bootIDFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Load returns the members that are kept of a list, without those whose time is over. A file of an
// earlier boot that does not persist is empty; so is one that is damaged, which the error tells.
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

// Save replaces what is kept of a list.
func Save(dir state.Dir, list string, kind Kind, f *File, now time.Time) error {
	f.Boot, f.Saved = bootID(), now
	return dir.Sub(dirName).Save(fileName(list, kind), f)
}

// Remove removes all that is kept of lists' members.
func Remove(dir state.Dir) error {
	if err := os.RemoveAll(dir.Path(dirName)); err != nil {
		return fmt.Errorf("removing the members of lists: %w", err)
	}
	return nil
}

// SetPersist notes whether the members of lists that were added persist, as a policy in force says.
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

// Lock waits until no other process changes what is kept of members.
func Lock(dir state.Dir) (unlock func(), err error) {
	unlock, err = dir.Sub(dirName).Lock()
	if err != nil {
		return nil, fmt.Errorf("keeping the members of lists: %w", err)
	}
	return unlock, nil
}

func fileName(list string, kind Kind) string { return list + "." + string(kind) + ".json" }

// Seeds returns the members for a living set that is made where there was none; it is nft.Seeds.
func Seeds(dir state.Dir, now func() time.Time) nft.Seeds {
	return func(set string) []nft.Member {
		list, family, ok := plan.ListOf(set)
		if !ok {
			return nil
		}
		var all []Member
		for _, kind := range kinds {
			if f, err := Load(dir, list, kind, now()); err == nil { // what is damaged is lost
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
		if m.From.Is4() == (family == plan.IPv4) {
			out = append(out, m)
		}
	}
	return out
}
