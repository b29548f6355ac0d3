package confirm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pbr/compiler/plan"
	"pbr/kernel/state"
)

// Names of the files, in a network namespace's directory.
const (
	previousFile = "previous.json"
	pendingFile  = "pending.json"
	guardFile    = "pending.guard"
)

// Files are the names of the files that are kept.
func Files() []string { return []string{previousFile, pendingFile, guardFile} }

// ErrNoPrevious means that there is no saved state to go back to.
var ErrNoPrevious = errors.New("there is no earlier state to go back to")

// Previous is what to go back to: nothing, or a plan.
type Previous struct {
	Nothing bool       `json:"nothing,omitempty"`
	Plan    *plan.Plan `json:"plan,omitempty"`
}

// Empty reports whether there was nothing of pbr's.
func (p *Previous) Empty() bool { return p.Nothing || p.Plan == nil }

// Pending is an apply that will be undone at a given time unless it is confirmed before.
type Pending struct {
	// Token identifies this apply: the process that has to undo it knows it. It is not a secret.
	Token string `json:"token"`
	// End is when it will be undone, as the time since boot.
	End time.Duration `json:"end"`
	// Failure is why undoing it failed, "" if that was not tried.
	Failure string `json:"failure,omitempty"`
	// Left is the time until then, negative afterwards.
	Left time.Duration `json:"-"`
	// Guarded means that a process waits to undo it, or is trying to.
	Guarded bool `json:"-"`
}

// Store is the directory that has the files.
type Store struct{ dir string }

// In returns the store in an existing directory.
func In(dir string) Store { return Store{dir} }

func (s Store) path(name string) string { return filepath.Join(s.dir, name) }

// SavePrevious keeps what to go back to.
func (s Store) SavePrevious(p *Previous) error {
	if err := s.write(previousFile, p); err != nil {
		return fmt.Errorf("saving the state to go back to: %w", err)
	}
	return nil
}

// Previous returns what to go back to; the error is ErrNoPrevious if there is nothing.
func (s Store) Previous() (*Previous, error) {
	p := &Previous{}
	found, err := s.read(previousFile, p)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the state to go back to: %w", err)
	case !found:
		return nil, ErrNoPrevious
	}
	return p, nil
}

// HasPrevious reports whether there is a state to go back to.
func (s Store) HasPrevious() bool {
	_, err := os.Stat(s.path(previousFile))
	return err == nil
}

// DropPrevious forgets what to go back to.
func (s Store) DropPrevious() error {
	if err := s.remove(previousFile); err != nil {
		return fmt.Errorf("forgetting the state to go back to: %w", err)
	}
	return nil
}

// Pending returns the apply that waits to be confirmed; nil if none does.
func (s Store) Pending() (*Pending, error) {
	p := &Pending{}
	found, err := s.read(pendingFile, p)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading which apply waits to be confirmed: %s: %w: "+
			"remove the file to keep what is applied, or run pbr flush",
			s.path(pendingFile), err)
	case !found:
		return nil, nil
	}
	p.Left, p.Guarded = p.End-Uptime(), s.guarded()
	return p, nil
}

// Renew has the pending apply undone after wait from now, when it has come into force: what the
// apply itself takes does not count.
func (s Store) Renew(wait time.Duration) (*Pending, error) {
	p, err := s.Pending()
	if err == nil && p == nil {
		err = errors.New("no apply waits to be confirmed")
	}
	if err != nil {
		return nil, err
	}
	p.End, p.Left = Uptime()+wait, wait
	return p, s.writePending(p)
}

// NoteFailure records why undoing the pending apply failed, for the next command to report.
func (s Store) NoteFailure(failure error) error {
	p, err := s.Pending()
	if err != nil || p == nil {
		return err
	}
	p.Failure = failure.Error()
	return s.writePending(p)
}

// Clear keeps what was applied: nothing is undone any more. It is not an error if nothing waits.
func (s Store) Clear() error {
	for _, name := range []string{pendingFile, guardFile} {
		if err := s.remove(name); err != nil {
			return fmt.Errorf("confirming the apply: %w", err)
		}
	}
	return s.DropPrevious()
}

func (s Store) writePending(p *Pending) error {
	if err := s.write(pendingFile, p); err != nil {
		return fmt.Errorf("noting the apply that waits to be confirmed: %w", err)
	}
	return nil
}

func (s Store) write(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return state.Replace(s.path(name), b)
}

func (s Store) read(name string, v any) (found bool, err error) {
	b, err := os.ReadFile(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	return true, err
}

func (s Store) remove(name string) error {
	if err := os.Remove(s.path(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
