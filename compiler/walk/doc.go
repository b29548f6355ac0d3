// Package walk walks packets through a plan's nftables rules, as the kernel would, without one.
//
//	e, err := walk.New(&p.Ruleset)          // checks and indexes the rules; e never changes
//	w := e.Walker()                         // one per goroutine; has what packets leave behind
//	r, err := w.Walk("classify", &walk.Packet{
//		IIF: "br-lan", Src: src, Dst: dst, Proto: 6, SPort: 40000, DPort: 443, CTState: walk.StateNew,
//	})
//	r.Verdict, r.Mark, r.CTMark, r.Counters // the answer
//	r, err = w.Trace("classify", &packet)   // the same, with r.Steps: each rule that held, and what it found in which map
//
// A Router takes a packet its whole way: through the hooks, marks, ip rules and routes of a plan on
// a machine, with source NAT and the check of its source, and then the connection's answer and its
// next packet:
//
//	r, err := walk.NewRouter(p, &walk.Facts{})  // of no machine in particular; or main's routes, addresses, others' rules
//	ways := r.First(&packet)                    // several where turn, chance or a hash that is not to be known decides
//	ways[0].Fate, ways[0].Dev, ways[0].Src, ways[0].CTMark, ways[0].Rule
//	r.Answer(&packet, &ways[0])
//
// A walk starts in any chain, base or not, and ends with a verdict or with that chain. Look-ups
// take the logarithm of a set's size, also where keys have several fields and intervals, so that
// millions of packets against tens of thousands of elements are a matter of seconds. New refuses
// what the kernel would refuse or, worse, take without a word: elements of one set that overlap.
//
// What it knows of the kernel: a match on a field that the packet has not (an IPv4 address of an
// IPv6 packet, the mark of a connection that is not tracked, the user of a forwarded packet) does
// not hold, negated or not; a rule ends at a verdict map without the packet's key; a jump comes
// back to the rule after; a goto to where the chain before was jumped to from. Limits let
// everything pass.
package walk
