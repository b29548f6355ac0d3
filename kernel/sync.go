package kernel

// Sync is how a plan and the kernel compare.
type Sync uint8

const (
	// NotApplied means that nothing was applied since the machine started, or since a flush.
	NotApplied Sync = iota
	// Differs means that the kernel holds another plan, or something else.
	Differs
	// Holds means that nothing differs as far as Compare looks.
	Holds
)
