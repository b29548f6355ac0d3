package nft

// Change is a transaction of someone else that changed the table.
type Change struct {
	// Text says what, as "table inet pbr: 2 rules deleted, 1 chain added".
	Text string
	// Task is the thread that did it (NFTA_GEN_PROC_PID) and Name its name; 0 and "" where the kernel does not say.
	Task int
	Name string
}
