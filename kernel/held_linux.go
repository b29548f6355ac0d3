package kernel

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

	"pbr/compiler/plan"
	"pbr/kernel/route"
)

// LiveHeld is Live, with what to look at to find later that nothing has changed. That is nil where
// it cannot be told so, or the journal shows that there is something to do even if the plans are
// the same.
func (k *Kernel) LiveHeld(want *plan.Plan) (*plan.Plan, *Held, error) {
	if err := mayAdminister(); err != nil {
		return nil, nil, err
	}
	j, err := k.readableJournal()
	if err != nil {
		return nil, nil, err
	}
	l, err := k.read(want, j, nil)
	if err != nil {
		return nil, nil, err
	}
	return l.plan, k.held(want, l), nil
}

// held is what to look at to find that the kernel still holds want, as l does. It reads the journal
// as it is now.
func (k *Kernel) held(want *plan.Plan, l *live) *Held {
	namespace := k.nft.Identity()
	text, err := os.ReadFile(k.path(journalFile))
	if namespace == "" || err != nil || l.nft.Traced || l.nft.Leftover != nil || k.nft.Staging() || len(k.late) > 0 {
		return nil
	}
	if j, err := readJournal(k.path(journalFile)); err != nil || !reflect.DeepEqual(j, j.final(claimsOf(want), want.Sysctls)) {
		return nil
	}
	look := l.look
	look.Generation = l.nft.Generation
	settings := map[string]string{}
	for _, s := range l.plan.Sysctls {
		settings[s.Path] = s.Value
	}
	for path, v := range l.sysctls {
		settings[path] = v
	}
	return &Held{look, namespace, l.plan.Rules, l.plan.Routes, sortedFlowtables(l.plan.Ruleset.Flowtables), settings, string(text)}
}

// HeldNow reads the same as when something was found held, by looking at the same places. What it
// returns equals that if, and only if, nothing has changed since.
func (k *Kernel) HeldNow(look Look) (*Held, error) {
	if err := mayAdminister(); err != nil {
		return nil, err
	}
	h := &Held{Look: look, Namespace: k.nft.Identity(), Settings: map[string]string{}}
	var err error
	if h.Look.Generation, err = k.nft.Since(look.Generation); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(k.path(journalFile))
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	h.Journal = string(text)
	if h.Rules, h.Routes, err = k.route.Read([]uint32{look.Base}, look.Tables); err != nil {
		return nil, err
	}
	flowtables, err := k.nft.Flowtables()
	if err != nil {
		return nil, err
	}
	h.Flowtables = sortedFlowtables(flowtables)
	for _, path := range look.Settings {
		if v, err := route.ReadSysctl(path); err == nil {
			h.Settings[path] = v
		}
	}
	return h, nil
}

// fullEvery is how often a Kernel that applies the same plan again and again compares everything,
// with what the kernel itself says.
const fullEvery = time.Hour

// CompareAll has k compare everything with what the kernel itself says when it looks next, whatever
// is known from before.
func (k *Kernel) CompareAll() { k.compareAll = true }

// full reports whether everything is to be compared now.
func (k *Kernel) full() bool {
	if k.compared.IsZero() {
		k.compared = time.Now()
	}
	return k.compareAll || time.Since(k.compared) >= fullEvery
}

// unchanged returns an empty report if want is the plan that was found held last, and nothing has
// changed since; nil if that is not so.
func (k *Kernel) unchanged(want *plan.Plan) *Report {
	l := k.applied
	if l == nil || l.held == nil || l.of != want || k.full() {
		return nil
	}
	if now, err := k.HeldNow(l.held.Look); err != nil || !reflect.DeepEqual(now, l.held) {
		return nil
	}
	return &Report{Changes: &plan.Changes{}, Held: l.held}
}

// noteHeld keeps what to look at to find that want, as Apply was given it, is still held.
func (k *Kernel) noteHeld(want *plan.Plan, held *Held) {
	if k.applied != nil {
		k.applied.of, k.applied.held = want, held
	}
}

// sortedFlowtables are flowtables in the order of plans, nil for none.
func sortedFlowtables(list []plan.Flowtable) []plan.Flowtable {
	if len(list) == 0 {
		return nil
	}
	p := plan.Plan{Ruleset: plan.Ruleset{Flowtables: slices.Clone(list)}}
	plan.Sort(&p)
	return p.Ruleset.Flowtables
}

// lookFor says where to look for a plan, and what the journal has besides.
func lookFor(want *plan.Plan, j *journal) Look {
	look := Look{Base: want.BasePriority, Tables: append(claimsOf(want).Tables, j.tables()...)}
	slices.Sort(look.Tables)
	look.Tables = slices.Compact(look.Tables)
	for _, s := range want.Sysctls {
		look.Settings = append(look.Settings, s.Path)
	}
	for _, s := range j.Sysctls {
		look.Settings = append(look.Settings, s.Path)
	}
	slices.Sort(look.Settings)
	look.Settings = slices.Compact(look.Settings)
	return look
}
