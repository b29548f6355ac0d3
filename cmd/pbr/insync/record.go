package insync

import (
	"encoding/json"
	"os"
	"path/filepath"

	"pbr/cmd/pbr/applied"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel"
	"pbr/kernel/doctor"
)

// Record is that the kernel held a policy's plan with nothing left to do: sums of all that decided
// it, where to look at that again, and what the command had to say.
type Record struct {
	// Inputs is the sum of what the plan was made of, Held that of what the kernel had.
	Inputs Sum `json:"inputs"`
	Held   Sum `json:"held"`
	// Policy is the file.
	Policy PolicyFile `json:"policy"`
	// Seen are the files that were examined for it, Zones the time zones that it names, Needs what
	// it needs to know of the machine.
	Seen  []applied.Seen `json:"seen"`
	Zones []string       `json:"zones,omitempty"`
	Needs plan.Needs     `json:"needs"`
	Look  kernel.Look    `json:"look"`
	// Parsed and FallsBack are what is said of the policy, Deferred is what its plan defers.
	Parsed    policy.Diagnostics `json:"parsed,omitempty"`
	FallsBack policy.Diagnostics `json:"falls_back,omitempty"`
	Deferred  []plan.Deferred    `json:"waiting,omitempty"`
	// Applied is what an apply looks at besides; nil if only a diff was made.
	Applied *Applied `json:"applied,omitempty"`
}

// PolicyFile is a policy as applied.Policy names it.
type PolicyFile struct{ Name, Path, Hash string }

// Applied is what an apply looks at beside the kernel.
type Applied struct {
	// Beside is the sum of that.
	Beside Sum `json:"beside"`
	// Settings are those that the quick look at the machine reads, Findings what it found.
	Settings []string         `json:"settings,omitempty"`
	Findings []doctor.Finding `json:"findings,omitempty"`
	// Dnsmasq is the file that the policy names.
	Dnsmasq string `json:"dnsmasq,omitempty"`
	// Clock says that the time of an apply is to be noted, Persist which lists keep their members.
	Clock   bool            `json:"clock,omitempty"`
	Persist map[string]bool `json:"persist,omitempty"`
}

// Read reads a record; nil where there is none that can be read.
func Read(file string) *Record {
	r := &Record{}
	if b, err := os.ReadFile(file); err != nil || json.Unmarshal(b, r) != nil {
		return nil
	}
	return r
}

// Write replaces the record. Without one the next command takes its time, so that what goes wrong
// does not matter.
func (r *Record) Write(file string) {
	b, err := json.Marshal(r)
	if err != nil {
		return
	}
	// Several commands may write at a time, each what is right.
	f, err := os.CreateTemp(filepath.Dir(file), ".insync-")
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if closed := f.Close(); err != nil || closed != nil || os.Rename(f.Name(), file) != nil {
		_ = os.Remove(f.Name())
	}
}

// Keep is Write for a diff: what an apply noted of the same stays.
func (r *Record) Keep(file string) {
	if was := Read(file); was == nil || was.Inputs != r.Inputs || was.Held != r.Held {
		r.Write(file)
	}
}
