package daemon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pbr/compiler"
	"pbr/compiler/policy"
)

// listRetry is the time after a failure until lists are applied again.
const listRetry = 10 * time.Second

// ListChange says which sources of lists changed.
type ListChange struct {
	// Files are the list files with new contents; fetched texts are always checked.
	Files []string
}

// lists is the state of lists whose sources changed.
type lists struct {
	// stale means that a change is not in force yet; files are the changed list files.
	stale bool
	files map[string]bool
	// reading runs concurrently with the loop, for the policy instead and for taken; nil if none is
	// running.
	reading chan readPolicy
	instead *policy.Document
	taken   map[string]bool
	// retry fires when a change that the kernel refused is tried again; nil if there is none.
	retry *time.Timer
	// waiting are notified when every change before they asked is in force, or has failed.
	waiting []chan error
	// failed is the last error.
	failed error
}

// listsChanged records that sources of lists changed.
func (w *Watcher) listsChanged(c ListChange) {
	w.lists.stale, w.lists.retry = true, nil
	if w.lists.files == nil {
		w.lists.files = map[string]bool{}
	}
	for _, name := range c.Files {
		w.lists.files[name] = true
	}
}

// RefreshLists brings fetched lists into force, and returns when that is done.
func (w *Watcher) RefreshLists(ctx context.Context) error {
	done := make(chan error, 1)
	err := w.call(ctx, func() {
		switch {
		case w.ReadLists == nil:
			done <- nil
		case w.trial != nil:
			done <- fmt.Errorf("an apply waits to be confirmed: the lists come into force after that")
		default:
			w.listsChanged(ListChange{})
			w.lists.waiting = append(w.lists.waiting, done)
		}
	})
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readLists starts to read changed lists, unless something is in the way: a reload reads them
// anyway, and a trial may still be undone. It is called before each wait of the loop.
func (w *Watcher) readLists() {
	l := &w.lists
	if !l.stale || l.reading != nil || w.reading != nil || w.trial != nil || w.ReadLists == nil || l.retry != nil {
		return
	}
	l.stale, l.taken, l.files, l.instead = false, l.files, nil, w.doc
	l.reading = make(chan readPolicy, 1)
	files := slices.Sorted(maps.Keys(l.taken))
	doc, host, down, done := w.doc, w.host, maps.Clone(w.health.down), l.reading
	go func() {
		var got readPolicy
		if got.doc, got.err = w.ReadLists(doc, files); got.err == nil && !sameLists(doc, got.doc) {
			got.compiler = compiler.New(got.doc)
			got.compiler.Compile(host, down) // for what it remembers
		}
		done <- got
	}()
}

// listsRead brings lists that were read into force.
func (w *Watcher) listsRead(ctx context.Context, got readPolicy) {
	l := &w.lists
	l.reading = nil
	if w.doc != l.instead || w.trial != nil { // another policy came into force meanwhile
		w.listsChanged(ListChange{Files: slices.Collect(maps.Keys(l.taken))})
		return
	}
	err := got.err
	if err == nil && got.compiler != nil {
		err = w.installLists(ctx, got)
	}
	passing := got.err == nil && err != nil // -- the kernel's error, which may be temporary
	if err != nil && (l.failed == nil || l.failed.Error() != err.Error()) {
		next := "when a list changes"
		if passing {
			next = listRetry.String()
		}
		w.Log.Error("changed lists could not be applied: the old ones stay", "error", err, "next_try", next)
	}
	l.failed = err
	if passing {
		w.listsChanged(ListChange{Files: slices.Collect(maps.Keys(l.taken))})
		l.retry = time.NewTimer(listRetry)
	}
	if l.stale && err == nil {
		return // -- others that wait get its result
	}
	for _, done := range l.waiting {
		done <- err
	}
	l.waiting = nil
}

// listsRetry returns the channel for the next try; nil if nothing waits for one.
func (w *Watcher) listsRetry() <-chan time.Time {
	if w.lists.retry == nil {
		return nil
	}
	return w.lists.retry.C
}

// installLists brings a policy into force that differs from the present one only in its lists: it
// sends the elements that differ, without reading the kernel.
func (w *Watcher) installLists(ctx context.Context, got readPolicy) error {
	before := w.compiler
	w.compiler = got.compiler
	want, err := w.compile(got.doc)
	if err != nil {
		w.compiler = before
		return err
	}
	outcome, err := w.Kernel.Update(ctx, want)
	if err != nil {
		w.compiler = before
		w.due(spacing) // -- the pass repairs what was not rolled back
		return fmt.Errorf("changing lists: %w", err)
	}
	old := w.doc
	w.doc = got.doc
	w.take(want)
	w.Log.Info("applied changed lists", "lists", strings.Join(changedLists(old, got.doc), ", "), "changed", outcome.Changed)
	w.noteTrial("recording the policy in force", w.Trials.Kept(got.doc))
	if w.ListsTaken != nil {
		w.ListsTaken(got.doc)
	}
	return nil
}

// sameLists reports whether two documents have the same in their lists.
func sameLists(a, b *policy.Document) bool { return len(changedLists(a, b)) == 0 }

// changedLists names the lists of b that have something else in a.
func changedLists(a, b *policy.Document) (names []string) {
	before := make(map[string]*policy.List, len(a.Lists))
	for i := range a.Lists {
		before[a.Lists[i].Name] = &a.Lists[i]
	}
	for i := range b.Lists {
		l := &b.Lists[i]
		if old := before[l.Name]; old == nil || !slices.Equal(old.Ranges, l.Ranges) ||
			!slices.EqualFunc(old.Sources, l.Sources, sameState) {
			names = append(names, l.Name)
		}
	}
	return names
}

// sameState reports whether a source was fetched in both of two documents, or in neither.
func sameState(a, b policy.Source) bool { return a.Kind == b.Kind && a.URL.Fetched == b.URL.Fetched }
