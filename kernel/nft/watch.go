package nft

// Change is a transaction of someone else that changed the table.
type Change struct {
	// Text says what, as "table inet pbr: 2 rules deleted, 1 chain added".
	Text string
	// Objects are the chains, sets, counters and flowtables that it changed, by kind and name; a
	// rule counts as its chain, an element as its set. They are sorted.
	Objects []string
	// TableGone means that the table was deleted, whether or not it was made again in the same
	// transaction.
	TableGone bool
	// Task is the thread that did it (NFTA_GEN_PROC_PID) and Name its name; 0 and "" where the
	// kernel does not say.
	Task int
	Name string
}
