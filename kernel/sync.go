package kernel

// Sync is how the kernel compares with a plan.
type Sync uint8

const (
	// NotApplied means that nothing was applied since boot, or since a flush.
	NotApplied Sync = iota
	// Differs means that the kernel holds another plan, or something else.
	Differs
	// Holds means that Compare found no difference.
	Holds
)
