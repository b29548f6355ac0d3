package applied

import (
	"os"
	"path/filepath"
)

// Now returns which policy the kernel holds: the one on trial where an apply waits to be confirmed,
// or else the one that was applied last; nil if that is not known. A trial's time is when it began.
func (s Store) Now(waits bool) *InForce {
	if waits {
		if p, err := s.Trial(); err == nil {
			return s.onTrial(p)
		}
	}
	return s.InForce()
}

func (s Store) onTrial(p *Policy) *InForce {
	now := &InForce{Name: p.Name, Path: p.Path, Hash: p.Hash}
	if was := s.InForce(); was != nil {
		now.Watch = was.Watch
	}
	if info, err := os.Stat(filepath.Join(s.run, trialFile)); err == nil {
		now.At = info.ModTime()
	}
	return now
}

// TextOf returns the text of the policy in force as it was when it was applied; nil if it is not
// known.
func (s Store) TextOf(now *InForce) *Policy {
	for _, read := range []func() (*Policy, error){s.Trial, s.Kept} {
		if p, err := read(); err == nil && p.Hash == now.Hash {
			return p
		}
	}
	return nil
}

// Is reports whether a file that a user names is the policy in force: by its name, as the file that
// it leads to, or by its text, which is nil for a file that cannot be read.
func (f *InForce) Is(name string, text *Policy) bool {
	return text != nil && text.Hash == f.Hash || f.Path != "" && sameFile(name, f.Path)
}

// sameFile reports whether two names are of one file, which need not exist any more.
func sameFile(a, b string) bool {
	if resolved(a) == resolved(b) {
		return true
	}
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// resolved is a file's absolute name without symbolic links; those of its directory alone, if the
// file does not exist.
func resolved(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	if file, err := filepath.EvalSymlinks(name); err == nil {
		return file
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(name)); err == nil {
		return filepath.Join(dir, filepath.Base(name))
	}
	return name
}
