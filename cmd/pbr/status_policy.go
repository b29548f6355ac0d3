package main

import (
	"fmt"
	"path/filepath"
	"time"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/compiler/policy"
	"pbr/kernel"
)

// policyStatus says which policy is in force, and what is not.
type policyStatus struct {
	// State is "in force", "not applied", or "differs" where the kernel, or the policy file, is not
	// what was applied last.
	State string `json:"state"`
	// File is the policy in force as it was named, Path where it can be read again; empty when
	// nothing is known of it.
	File string `json:"file"`
	Path string `json:"path"`
	// StartedWith is the file that the running watch was started with.
	StartedWith string          `json:"started_with,omitempty"`
	Trial       *trialStatus    `json:"trial,omitempty"`
	Rejected    *rejectedStatus `json:"rejected,omitempty"`
	// Retry is the file in force, where pbr watch could not bring its present text into force and
	// tries again.
	Retry *daemon.Retry `json:"retry,omitempty"`
	// StateNote says why no state outlives a reboot; empty if it does.
	StateNote string `json:"state_note,omitempty"`
	// notes are for people; trialNote is the one of the trial.
	notes     []string
	trialNote string
}

// trialStatus is an apply that waits to be confirmed.
type trialStatus struct {
	Until   time.Time `json:"until"`
	Left    float64   `json:"left_s"`
	Failure string    `json:"failure,omitempty"`
}

// rejectedStatus is a file whose trial was undone.
type rejectedStatus struct {
	File string    `json:"file"`
	At   time.Time `json:"at"`
}

const (
	policyInForce    = "in force"
	policyNotApplied = "not applied"
	policyDiffers    = "differs"
)

// compare compares the policy file and its plan with what was applied last, without a watch.
func (p *policyStatus) compare(k *kernel.Kernel, s *statusResult) error {
	f := s.file
	if err := k.DamagedJournal(); err != nil {
		p.notes = append(p.notes, err.Error())
	}
	sync, err := k.Compare(s.want)
	if err != nil {
		return err
	}
	switch now := applied.Open(k.Dir()).InForce(); {
	case sync == kernel.NotApplied:
		p.State = policyNotApplied
		p.notes = append(p.notes, fmt.Sprintf("not applied: nothing of %s is in the kernel: run pbr apply", f.display))
	case p.Trial != nil && sync == kernel.Holds:
	case s.other != nil:
		p.State = policyDiffers
		p.notes = append(p.notes, s.other.text+s.other.hint(": "))
	case p.Rejected != nil:
		p.State = policyDiffers // -- which is reported already
	case now != nil && now.Hash != f.text.Hash:
		p.State = policyDiffers
		p.notes = append(p.notes,
			fmt.Sprintf("kernel differs: pbr diff shows how: %s is in force, as it was applied %s ago, and "+
				"not the present %s", now.Name, span(time.Since(now.At)), f.display))
	case sync == kernel.Differs:
		p.State = policyDiffers
		p.notes = append(p.notes, "kernel differs: pbr diff shows the differences, pbr apply repairs them")
	}
	return nil
}

// readPolicyStatus reads it; report is nil when no watch runs.
func readPolicyStatus(ctx *cli.Context, k *kernel.Kernel, report *daemon.Report) (policyStatus, error) {
	name, err := configName(ctx)
	if err != nil {
		name = "" // -- which is reported otherwise
	}
	return policyStatusOf(name, k, report)
}

// policyStatusOf reads it for somebody who looks at a file; report is nil when no watch runs.
func policyStatusOf(file string, k *kernel.Kernel, report *daemon.Report) (p policyStatus, err error) {
	p.State = policyInForce
	s := applied.Open(k.Dir())
	now := s.InForce()
	if now != nil {
		p.File, p.Path = now.Name, now.Path
	}
	if report != nil {
		p.File = report.Policy
	}
	pending, err := k.Pending()
	if err != nil {
		return p, err
	}
	if report != nil && now != nil {
		p.StartedWith = now.Watch
		if now.Path != now.Watch {
			p.notes = append(p.notes, otherFileText(now, report.Policy, pending != nil))
		}
	}
	if pending != nil {
		p.Trial = &trialStatus{time.Now().Add(pending.Left), pending.Left.Seconds(), pending.Failure}
		p.trialNote = pendingText(pending)
		p.notes = append(p.notes, p.trialNote)
	}
	p.findRejected(file, s, now, s.Now(pending != nil))
	switch {
	case report != nil && report.Retry != nil:
		p.Retry = report.Retry
		p.notes = append(p.notes, fmt.Sprintf("the present %s is not in force: %s: pbr watch tries again %s",
			report.Policy, p.Retry.Error, p.Retry.When(time.Now())))
	case report != nil && now != nil && p.Trial == nil && p.Rejected == nil:
		p.findEdit(now)
	}
	if p.StateNote = s.Dir().Temporary(); p.StateNote != "" {
		p.notes = append(p.notes, p.StateNote)
	}
	return p, nil
}

// otherFileText says which file is in force, where it is not the one that pbr watch was started
// with. During a trial that is the trial's file.
func otherFileText(now *applied.InForce, read string, trial bool) string {
	if trial {
		return fmt.Sprintf("%s is in force on trial; without pbr confirm, %s, which was applied before, "+
			"comes back; pbr watch was started with %s", read, now.Name, now.Watch)
	}
	return fmt.Sprintf("%s is in force, because it was applied last; pbr watch was started with %s", now.Name, now.Watch)
}

// findRejected notes a file whose trial was undone.
func (p *policyStatus) findRejected(named string, s applied.Store, now, held *applied.InForce) {
	if rejected := rejectedNow(named, s, now, held); rejected != nil {
		p.Rejected = &rejectedStatus{rejected.Name, rejected.At}
		p.notes = append(p.notes, rejected.String()+": "+rejected.Advice())
	}
}

// rejectedNow looks at the file that is named, and at the one in force; nil if neither was
// rejected. A rejected file that is tried again is what the kernel holds, and in force on trial.
func rejectedNow(named string, s applied.Store, now, held *applied.InForce) *applied.Rejection {
	var files []string
	if named != "" {
		files = append(files, named)
	}
	if now != nil && now.Path != "" {
		files = append(files, now.Path)
	}
	for _, file := range files {
		path, err := filepath.Abs(file)
		if err != nil {
			continue
		}
		rejected := s.RejectedFile(path, func() (*applied.Policy, error) {
			text, _, _, err := applied.Read(path, path, policy.Options{ErrorsOnly: true})
			return text, err
		})
		if rejected != nil && (held == nil || held.Hash != rejected.Hash) {
			return rejected
		}
	}
	return nil
}

// findEdit checks whether the file in force was edited since it was applied. A broken file is
// reported otherwise.
func (p *policyStatus) findEdit(now *applied.InForce) {
	if now.Path == "" {
		return
	}
	text, _, ds, err := applied.Read(now.Path, now.Name, policy.Options{ErrorsOnly: true, Lack: lack})
	if err == nil && !ds.HasErrors() && text.Hash != now.Hash {
		p.notes = append(p.notes, now.Name+" was edited since it was applied, and the edit is not in force: run pbr apply")
	}
}
