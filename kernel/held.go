package kernel

import "pbr/compiler/plan"

// InSyncFile is the name of the file in Kernel.Dir where commands note what they found held.
const InSyncFile = "insync.json"

// Held is that the kernel holds a plan with nothing left to do, in what can be read in a time that
// does not grow with the ruleset. Whoever reads the same at another time need not compare: nobody
// changed anything in between. It is plain values, all of which count.
type Held struct {
	Look Look
	// Namespace names the network namespace among all of all boots.
	Namespace string
	Rules     []plan.Rule
	Routes    []plan.Route
	// Flowtables lose interfaces that go, without any change of nftables.
	Flowtables []plan.Flowtable
	// Settings are the values of Look.Settings; those that do not exist are missing.
	Settings map[string]string
	// Journal is the text of the journal.
	Journal string
}

// Look says where to look.
type Look struct {
	// Generation is that of nftables; later ones that differ by nothing but members of run-time
	// sets that pbr changed count as this one.
	Generation uint32 `json:"generation"`
	// Base is the first of the priorities of ip rules, Tables are the routing tables, Settings the
	// paths.
	Base     uint32   `json:"base"`
	Tables   []uint32 `json:"tables"`
	Settings []string `json:"settings,omitempty"`
}
