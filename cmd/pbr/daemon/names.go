package daemon

import (
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Names fills lists by DNS answers.
type Names interface {
	// Learn says which policy is in force. It is called again when the machine has changed.
	Learn(doc *policy.Document, machine plan.Machine)
}

// unnamed fills none.
type unnamed struct{}

func (unnamed) Learn(*policy.Document, plan.Machine) {}
