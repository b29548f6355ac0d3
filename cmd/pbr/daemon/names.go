package daemon

import (
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Names fills lists by DNS answers.
type Names interface {
	// Learn says which policy is in force. It is called again when the machine has changed.
	Learn(doc *policy.Document, host plan.Machine)
	// Keep puts what was learned into the state directory now. It is safe for concurrent use.
	Keep()
	// Answers tells what was read of DNS answers; nil while none are read. It is safe for
	// concurrent use.
	Answers() *DNSAnswers
}

// DNSAnswers are DNS answers to hosts that are not this machine, whatever they are about.
type DNSAnswers struct {
	// Since is when reading them began.
	Since time.Time `json:"since"`
	Count uint64    `json:"count"`
	// Last is when the last one came; zero if none did.
	Last time.Time `json:"last,omitzero"`
}

// unnamed fills none.
type unnamed struct{}

func (unnamed) Learn(*policy.Document, plan.Machine) {}
func (unnamed) Keep()                                {}
func (unnamed) Answers() *DNSAnswers                 { return nil }

// KeepNames puts what was learned from DNS answers into the state directory, where commands find
// it.
func (w *Watcher) KeepNames() { w.Names.Keep() }
