package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"pbr/kernel/facts"
)

// Dropping reads the base chains of others whose policy is drop: they drop what none of their rules
// accepts.
func (c *Conn) Dropping() ([]facts.DropChain, error) {
	o := &others{chains: map[[2]string]*otherChain{}}
	var out []facts.DropChain
	err := c.socket.dumpFamilies(unix.NFT_MSG_GETCHAIN, func(family uint8, raw []byte) {
		hook, policy := attr(raw, unix.NFTA_CHAIN_HOOK), attr(raw, unix.NFTA_CHAIN_POLICY)
		ch := o.chain(family, text(attr(raw, unix.NFTA_CHAIN_TABLE)), text(attr(raw, unix.NFTA_CHAIN_NAME)))
		if ch == nil || hook == nil || policy == nil || number(policy) != nfDrop {
			return
		}
		out = append(out, facts.DropChain{Table: ch.table, Chain: ch.name,
			Hook: hookName(family, number(attr(hook, unix.NFTA_HOOK_HOOKNUM)))})
	})
	if err != nil && err != errDumpInterrupted {
		return nil, fmt.Errorf("reading the chains of others: %w", err)
	}
	return out, nil
}
