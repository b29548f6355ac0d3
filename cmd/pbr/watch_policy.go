package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
	"weak"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel"
)

// policies are what a watch has in force, goes back to, and reads again: daemon.Trials, with the
// files behind the documents.
type policies struct {
	k     *kernel.Kernel
	store applied.Store
	// own is the file that the watch was started with.
	own string
	// start is the policy to start with, waits is its trial if it waits to be confirmed, and note
	// is what to log about it.
	start *policyFile
	waits *daemon.Trial
	note  string
	log   *slog.Logger

	mu sync.Mutex
	// texts has the texts of the documents that somebody holds: they are in force, are gone back
	// to, or may come into force, of which there may be several at once.
	texts map[weak.Pointer[policy.Document]]*applied.Policy
	// now is the one in force.
	now *applied.Policy
}

// startPolicies decides what a starting watch continues with: a trial that waits, the file that was
// applied last in this boot in the place of its own, or its own; and the policy that was kept last
// in the place of one that was rejected.
func (c command) startPolicies(ctx *cli.Context, stop context.Context, k *kernel.Kernel) (*policies, error) {
	name, err := configName(ctx)
	if err != nil {
		return nil, err
	}
	own, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("policy file %s: %w", name, err)
	}
	p := &policies{k: k, store: applied.Open(k.Dir()), own: own, texts: map[weak.Pointer[policy.Document]]*applied.Policy{}}
	if resumed, err := p.resume(c, stop); err != nil || resumed {
		return p, err
	}
	if p.start, err = daemon.UnlessStopped(stop, func() (*policyFile, error) { return p.startFile(name) }); err != nil {
		return nil, err
	}
	if rejected := p.store.Rejected(p.start.text); rejected != nil {
		if p.start, err = c.keptInstead(p.store, rejected); err != nil {
			return nil, err
		}
		p.note = rejected.String() + ": using the last confirmed policy instead"
	}
	p.know(p.start.doc, p.start.text)
	p.now = p.start.text
	return p, nil
}

// startFile reads the file that the watch continues with.
func (p *policies) startFile(name string) (*policyFile, error) {
	file := name
	if last := p.store.InForce(); last != nil && last.Watch == p.own && last.Path != p.own {
		p.note = fmt.Sprintf("using %s, which was applied last, and not %s: pbr -c %s apply changes that", last.Name, name, name)
		if _, err := os.Stat(last.Path); err != nil { // a pipe, or a file that is gone
			if kept, err := p.store.Kept(); err == nil && kept.Hash == last.Hash {
				return loadAgain(kept), nil
			}
		}
		if last.Path != "" {
			file, name = last.Path, last.Name
		}
	}
	f, err := loadFile(file, name, policy.Options{ErrorsOnly: true})
	if err == nil && f.text.Path == "" {
		return nil, fmt.Errorf("%s is not a regular file: pbr watch has to be able to read it again", name)
	}
	return f, err
}

// resume continues with a trial that waits to be confirmed. One whose time is over is undone: the
// policy from before is started with.
func (p *policies) resume(c command, stop context.Context) (resumed bool, err error) {
	pending, err := p.k.Pending()
	if err != nil || pending == nil {
		return false, err
	}
	trial, err := p.store.Trial()
	kept, keptErr := p.store.Kept()
	switch {
	case errors.Join(err, keptErr) != nil && pending.Left > 0:
		return false, fmt.Errorf(
			"%s, and the policy before it is unknown: run pbr confirm to keep it, or pbr revert to undo it now", pendingText(pending))
	case errors.Join(err, keptErr) != nil:
		_, err = c.undo(stop, p.k)
		return false, err
	case pending.Left <= 0:
		return false, errors.Join(rejectTrial(p.store), p.k.ClearPending(), p.store.EndTrial())
	}
	p.start = loadAgain(trial)
	previous := loadAgain(kept)
	if ds := previous.diagnostics; ds.HasErrors() {
		return false, fmt.Errorf("the policy before the trial cannot be read: %w", ds[0])
	}
	p.know(p.start.doc, trial)
	p.know(previous.doc, kept)
	p.now = trial
	p.waits = &daemon.Trial{Previous: previous.doc, End: pending.End}
	p.note = pendingText(pending) + ": using it"
	if pending.Guarded {
		return true, nil
	}
	guard, err := p.k.Guard()
	if err != nil {
		return false, err
	}
	return true, p.guard(pending, guard)
}

// guard leaves a process that undoes the trial should this one end before.
func (p *policies) guard(pending *kernel.Pending, file *os.File) error {
	cmd, err := startRevert(pending, file)
	if err == nil {
		go func() { _ = cmd.Wait() }()
	}
	return err
}

// know keeps the text of a document as long as there is the document.
func (p *policies) know(doc *policy.Document, text *applied.Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := weak.Make(doc)
	p.texts[key] = text
	runtime.AddCleanup(doc, p.forget, key)
}

func (p *policies) forget(key weak.Pointer[policy.Document]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.texts, key)
}

// text is the text of a document.
func (p *policies) text(doc *policy.Document) *applied.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.texts[weak.Make(doc)]
}

// path is where a document can be read again; empty where that is not known.
func (p *policies) path(doc *policy.Document) string {
	if text := p.text(doc); text != nil {
		return text.Path
	}
	return ""
}

// current is the text of the policy in force.
func (p *policies) current() *applied.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// inForce notes which document is in force.
func (p *policies) inForce(doc *policy.Document) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.texts[weak.Make(doc)]
}

// reload reads the file again that is in force; the error has everything that is wrong with it.
func (p *policies) reload() (*policy.Document, error) {
	p.mu.Lock()
	now := p.now
	p.mu.Unlock()
	if now.Path == "" {
		return nil, errFromPipe
	}
	f, err := loadFile(now.Path, now.Name, policy.Options{ErrorsOnly: true})
	if err != nil {
		return nil, err
	}
	if rejected := p.store.Rejected(f.text); rejected != nil {
		return nil, fmt.Errorf("%v: %s", rejected, rejected.Advice())
	}
	return p.valid(f)
}

// held goes back to the policy that was kept last, as the file that it came from has it no more: a
// reload reads that file.
func (p *policies) held() (*policy.Document, error) {
	kept, err := p.store.Kept()
	if err != nil {
		return nil, err
	}
	f := loadAgain(kept)
	doc, err := p.valid(f)
	if err == nil {
		kept.Name, kept.Path = p.start.text.Name, p.start.text.Path
		p.inForce(doc)
	}
	return doc, err
}

// valid returns a policy's document, or everything that is wrong with it.
func (p *policies) valid(f *policyFile) (*policy.Document, error) {
	ds := f.diagnostics
	if !ds.HasErrors() {
		p.know(f.doc, f.text)
		return f.doc, nil
	}
	ds.Sort()
	var wrong []string
	for _, d := range ds {
		if d.Severity == policy.Error {
			wrong = append(wrong, d.Error())
		}
	}
	return nil, errors.New(strings.Join(wrong, "; "))
}

// Parse implements daemon.Trials.
func (p *policies) Parse(handed json.RawMessage) (*policy.Document, error) {
	text := &applied.Policy{}
	if err := json.Unmarshal(handed, text); err != nil {
		return nil, fmt.Errorf("reading the policy from apply: %w", err)
	}
	return p.valid(loadAgain(text))
}

// Is implements daemon.Trials.
func (p *policies) Is(doc *policy.Document, id daemon.PolicyID) bool {
	text := p.text(doc)
	return text != nil && id == daemon.PolicyID{Name: text.Name, Path: text.Path, Hash: text.Hash}
}

// Begin implements daemon.Trials.
func (p *policies) Begin(doc *policy.Document, want *plan.Plan, in time.Duration) (time.Duration, error) {
	if err := p.store.BeginTrial(p.text(doc)); err != nil {
		return 0, err
	}
	pending, guard, err := p.k.SetPending(want, in)
	if err == nil {
		err = p.guard(pending, guard)
	}
	if err != nil {
		return 0, errors.Join(err, p.k.ClearPending(), p.store.EndTrial())
	}
	return pending.End, nil
}

// Renew implements daemon.Trials.
func (p *policies) Renew(in time.Duration) (time.Duration, error) {
	pending, err := p.k.RenewPending(in)
	if err != nil {
		return 0, err
	}
	return pending.End, nil
}

// Drop implements daemon.Trials. What could not be undone the watch repairs.
func (p *policies) Drop(*plan.Plan) error {
	return errors.Join(p.k.ClearPending(), p.store.EndTrial())
}

// Kept implements daemon.Trials. A failure to record something for the next start is no reason to
// undo anything.
func (p *policies) Kept(doc *policy.Document) error {
	if err := p.k.ClearPending(); err != nil {
		return err
	}
	p.inForce(doc)
	if err := p.store.Keep(p.text(doc), p.own); err != nil {
		p.log.Error("recording the policy in force", "error", err)
	}
	return nil
}

// Undone implements daemon.Trials.
func (p *policies) Undone(doc, previous *policy.Document) error {
	trial := p.text(doc)
	p.inForce(previous)
	var noted error
	if trial.Hash != p.text(previous).Hash { // else it is what stays in force
		noted = p.store.Reject(trial)
	}
	return errors.Join(noted, p.k.ClearPending(), p.store.EndTrial(), p.store.SetInForce(p.text(previous), p.own))
}

// Failed implements daemon.Trials.
func (p *policies) Failed(err error) error { return p.k.NoteFailure(err) }
