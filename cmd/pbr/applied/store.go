package applied

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pbr/kernel/state"
)

const (
	// keptFile and rejectedFile are in the state directory.
	keptFile     = "policy.json"
	rejectedFile = "rejected.json"
	// inForceFile and trialFile are in the namespace's directory in /run.
	inForceFile = "policy.json"
	trialFile   = "trial.json"
)

// Store has a network namespace's records.
type Store struct {
	lasting state.Dir
	run     string
}

// Open returns the records of the network namespace that the calling thread is in, whose directory
// in /run is runDir.
func Open(runDir string) Store { return Store{lasting: state.Find(runDir), run: runDir} }

// Dir is the state directory.
func (s Store) Dir() state.Dir { return s.lasting }

// InForce says which policy was applied last since the machine started.
type InForce struct {
	Name string `json:"name"`
	// Path is empty when it was a pipe.
	Path string `json:"path,omitempty"`
	Hash string `json:"hash"`
	// Watch is the file that the watch was started with which applied it, or ran before; empty if
	// none ran yet.
	Watch string    `json:"watch,omitempty"`
	At    time.Time `json:"at"`
}

// Rejection says that the trial of a file's policy was undone.
type Rejection struct {
	Name string    `json:"name"`
	Hash string    `json:"hash"`
	At   time.Time `json:"at"`
}

// String says so for users.
func (r *Rejection) String() string {
	return fmt.Sprintf("%s was rejected at %s and is not in force", filepath.Base(r.Name), clock(r.At))
}

// Advice says what can be done about it.
func (r *Rejection) Advice() string {
	return "edit it, or run pbr apply to apply it all the same"
}

// clock is a time for people: with the day, if it is another one.
func clock(t time.Time) string {
	t = t.Local()
	if now := time.Now(); t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}

// InForce returns what was applied last; nil if nothing was, or if that is not known.
func (s Store) InForce() *InForce {
	f := &InForce{}
	if readJSON(filepath.Join(s.run, inForceFile), f) != nil || f.Hash == "" {
		return nil
	}
	return f
}

// SetInForce notes that a policy is in force. watch is the file that the running watch was started
// with, empty without one.
func (s Store) SetInForce(p *Policy, watch string) error {
	was := s.InForce()
	if watch == "" && was != nil {
		watch = was.Watch
	}
	if was != nil && was.Hash == p.Hash && was.Path == p.Path && was.Watch == watch {
		return nil
	}
	return s.writeRun(inForceFile, InForce{Name: p.Name, Path: p.Path, Hash: p.Hash, Watch: watch, At: time.Now()})
}

// Keep notes that a policy is in force for good. Its file is no longer rejected.
func (s Store) Keep(p *Policy, watch string) error {
	return errors.Join(s.SetInForce(p, watch), s.EndTrial(), s.keepTexts(p), s.allow(p))
}

// keepTexts saves a policy unless it is the one that is kept.
func (s Store) keepTexts(p *Policy) error {
	// Its texts need not be unpacked for that: going back to it checks that they are whole.
	var kept struct{ Name, Path, Hash, Sum string }
	if err := s.lasting.Load(keptFile, &kept); err == nil && cmp.Or(kept.Sum, kept.Hash) == p.Hash &&
		kept.Path == p.Path && kept.Name == p.Name {
		return nil
	}
	packed, err := p.forKeeping()
	if err != nil {
		return err
	}
	return s.lasting.Save(keptFile, packed)
}

// Kept returns the policy that was kept last. The error is fs.ErrNotExist if none was.
func (s Store) Kept() (*Policy, error) {
	p := &Policy{}
	if err := s.lasting.Load(keptFile, p); err != nil {
		return nil, err
	}
	return p, nil
}

// BeginTrial notes the policy that waits to be confirmed.
func (s Store) BeginTrial(p *Policy) error { return s.writeRun(trialFile, p) }

// Trial returns the policy that waits to be confirmed, or waited last. The error is fs.ErrNotExist
// if none did.
func (s Store) Trial() (*Policy, error) {
	p := &Policy{}
	if err := readJSON(filepath.Join(s.run, trialFile), p); err != nil {
		return nil, err
	}
	return p, nil
}

// EndTrial forgets the policy that waited to be confirmed.
func (s Store) EndTrial() error { return remove(filepath.Join(s.run, trialFile)) }

// rejections has the rejected files by their absolute names.
func (s Store) rejections() map[string]Rejection {
	list := map[string]Rejection{}
	if s.lasting.Load(rejectedFile, &list) != nil {
		return map[string]Rejection{}
	}
	return list
}

// Reject notes that the trial of a policy was undone. A pipe cannot be applied again, so that
// nothing is to be noted of it.
func (s Store) Reject(p *Policy) error {
	if p.Path == "" {
		return nil
	}
	list := s.rejections()
	list[p.Path] = Rejection{Name: p.Name, Hash: p.Hash, At: time.Now()}
	return s.lasting.Save(rejectedFile, list)
}

// allow forgets that exactly this text of a file was rejected.
func (s Store) allow(p *Policy) error {
	if s.Rejected(p) == nil {
		return nil
	}
	list := s.rejections()
	if delete(list, p.Path); len(list) == 0 {
		return s.lasting.Remove(rejectedFile)
	}
	return s.lasting.Save(rejectedFile, list)
}

// Rejected returns the rejection of exactly this text of a file; nil if there is none.
func (s Store) Rejected(p *Policy) *Rejection {
	if r, known := s.rejections()[p.Path]; known && r.Hash == p.Hash {
		return &r
	}
	return nil
}

// RejectedFile is Rejected for the text that a file has now.
func (s Store) RejectedFile(path string, read func() (*Policy, error)) *Rejection {
	if _, known := s.rejections()[path]; !known {
		return nil // which is nearly always, and costs no reading of long lists
	}
	p, err := read()
	if err != nil {
		return nil
	}
	return s.Rejected(p)
}

// Forget forgets all of it: nothing is in force any more.
func (s Store) Forget() error {
	err := errors.Join(
		remove(filepath.Join(s.run, inForceFile)), s.EndTrial(),
		s.lasting.Remove(keptFile), s.lasting.Remove(rejectedFile))
	_ = os.Remove(s.lasting.Path()) // if nothing else is in it
	return err
}

func (s Store) writeRun(name string, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		err = state.Replace(filepath.Join(s.run, name), b)
	}
	if err != nil {
		return fmt.Errorf("noting which policy is in force: %w", err)
	}
	return nil
}

func readJSON(file string, v any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Marks are those of the records, which another command, or a watch, may have written since.
func (s Store) Marks() (all []FileMark) {
	for _, file := range []string{
		s.lasting.Path(keptFile), s.lasting.Path(rejectedFile), filepath.Join(s.run, inForceFile), filepath.Join(s.run, trialFile),
	} {
		all = append(all, MarkOf(file))
	}
	return all
}
