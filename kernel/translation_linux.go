package kernel

import (
	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// makeNATChains names what comes between the two transactions.
const makeNATChains = "make the NAT chains"

// makeTable is transact. A table that is made while connections have marks of an earlier one gets
// its NAT chains last.
//
// The kernel ends a masqueraded connection when one of its packets leaves through another interface
// (nf_nat_oif_changed, net/netfilter/nf_nat_core.c), as soon as there is a NAT chain, even one
// without rules. The rules that route packets by the connection's mark come into force later than
// the chains of the same transaction exist. In between, pinned connections would be ended, and an
// answer that comes before the next packet from inside would begin a connection from outside.
//
// If the apply is killed in between, no new connection leaves through an uplink until the next one.
func (a *application) makeTable(next *plan.Ruleset, d *difference) error {
	a.listOlder()
	if !a.live.Ruleset.Empty() || len(a.journal.Owned) == 0 || !translates(next) {
		return a.transact(next, d)
	}
	if err := a.transact(beforeTranslation(a.want, next), nil); err != nil {
		return err
	}
	a.step(makeNATChains)
	nft.AwaitPackets()
	return a.transact(next, nil)
}
