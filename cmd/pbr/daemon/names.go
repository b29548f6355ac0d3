package daemon

import (
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Names fills lists from DNS answers.
type Names interface {
	// Learn sets the policy in force. It is called again when the host facts have changed.
	Learn(doc *policy.Document, host plan.HostFacts)
	// Keep saves what was learned in the state directory. It is safe for concurrent use.
	Keep()
	// Answers says what was read of DNS answers; nil while none are read. It is safe for concurrent
	// use.
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

// unnamed fills no lists.
type unnamed struct{}

func (unnamed) Learn(*policy.Document, plan.HostFacts) {}
func (unnamed) Keep()                                  {}
func (unnamed) Answers() *DNSAnswers                   { return nil }

// KeepNames saves what was learned from DNS answers in the state directory, where commands find it.
func (w *Watcher) KeepNames() { w.Names.Keep() }
