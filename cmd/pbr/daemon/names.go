package daemon

import (
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Names fills lists by DNS answers.
type Names interface {
	// Learn says which policy is in force. It is called again when the machine has changed.
	Learn(doc *policy.Document, host plan.Machine)
	// Keep puts what was learned into the state directory now. It is safe for concurrent use.
	Keep()
}

// unnamed fills none.
type unnamed struct{}

func (unnamed) Learn(*policy.Document, plan.Machine) {}
func (unnamed) Keep()                                {}

// KeepNames puts what was learned from DNS answers into the state directory, where commands find
// it.
func (w *Watcher) KeepNames() { w.Names.Keep() }
