// Package from holds what the importers of other routers' configurations share: the account that
// they give of every statement, the report made of it, and the writer of the policy file. It opens
// no file.
package from

import "slices"

// Options are what an importer is told beyond the text.
type Options struct {
	// File is the name that comments and the report carry.
	File string
	// Rename gives interfaces other names.
	Rename map[string]string
}

// Result is what came of a configuration.
type Result struct {
	// Policy is the policy file's text.
	Policy string
	// Statements are all of the configuration's, in their order.
	Statements []*Statement
	// First is what has to be done before the policy is applied; empty if nothing has.
	First string
	// Notes are about the configuration as a whole.
	Notes []string
}

// Outcome is what became of a statement.
type Outcome string

const (
	// Imported: an object of the policy says the same.
	Imported Outcome = "imported"
	// Merged: another object or pbr itself does it.
	Merged Outcome = "merged"
	// Changed: an object of the policy says something close to it.
	Changed Outcome = "changed"
	// Dropped: not carried over.
	Dropped Outcome = "dropped"
	// Disabled: switched off, and omitted.
	Disabled Outcome = "disabled"
	// Irrelevant: it has nothing to do with routing.
	Irrelevant Outcome = "irrelevant"
)

// Statement is one statement of the configuration and what became of it.
type Statement struct {
	// File is set where a configuration has several.
	File string
	// Line is the first physical line, from 1.
	Line    int
	Section string
	// Show returns the statement as it may be repeated, and what names it in the report.
	Show func() (text, what string)
	// Became are the objects that it is part of, as "policy voip".
	Became []string

	merged, changes, drops []string
	severe, off, foreign   bool
}

// Import adds an object that the statement is part of.
func (s *Statement) Import(object string) {
	if !slices.Contains(s.Became, object) {
		s.Became = append(s.Became, object)
	}
}

// Merge means that something else does what the statement asks for.
func (s *Statement) Merge(why string) { s.merged = add(s.merged, why) }

// Change tells of a difference between the statement and what became of it.
func (s *Statement) Change(how string) { s.changes = add(s.changes, how) }

// Drop means that the statement, or a part of it, is not carried over.
func (s *Statement) Drop(why string) { s.drops = add(s.drops, why) }

// DropSevere is Drop for what sends packets elsewhere, or lets them out, when it is missing.
func (s *Statement) DropSevere(why string) {
	s.Drop(why)
	s.severe = true
}

// Disable means that the statement is switched off.
func (s *Statement) Disable() { s.off = true }

// Ignore means that the statement has nothing to do with routing.
func (s *Statement) Ignore() { s.foreign = true }

// Accounted reports whether anything was said of the statement.
func (s *Statement) Accounted() bool {
	return s.off || s.foreign || len(s.Became)+len(s.merged)+len(s.changes)+len(s.drops) > 0
}

// Outcome sums up what was said of the statement. One of which nothing was said was overlooked, and
// so is dropped.
func (s *Statement) Outcome() Outcome {
	switch {
	case s.off:
		return Disabled
	case len(s.drops) > 0 && len(s.Became) == 0:
		return Dropped
	case len(s.changes)+len(s.drops) > 0:
		return Changed
	case len(s.Became) > 0:
		return Imported
	case len(s.merged) > 0:
		return Merged
	case s.foreign:
		return Irrelevant
	}
	return Dropped
}

// Note is everything that was said of the statement.
func (s *Statement) Note() string {
	return join(slices.Concat(s.drops, s.changes, s.merged))
}

func add(list []string, text string) []string {
	if slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}
