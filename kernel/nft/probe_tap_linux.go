package nft

import (
	"cmp"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// ProbeActions finds out which of some statements the kernel has, as ProbeOffload does: nothing is
// left behind but modules that are loaded now. The result has, for each, why it is refused, nil if
// it is not.
func (c *Conn) ProbeActions(actions []plan.Action) ([]error, error) {
	const before = 2 // messages in front of the first rule
	b := newProbeBatch()
	b.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, operation{})
	b.str(unix.NFTA_TABLE_NAME, probeTable)
	b.setLength()
	b.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, operation{})
	b.str(unix.NFTA_CHAIN_TABLE, probeTable)
	b.str(unix.NFTA_CHAIN_NAME, "probe")
	b.setLength()
	for i := range actions {
		b.message(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, operation{})
		b.str(unix.NFTA_RULE_TABLE, probeTable)
		b.str(unix.NFTA_RULE_CHAIN, "probe")
		var rule ruleEncoder
		if err := rule.action(actions[i]); err != nil {
			return nil, err
		}
		b.bytes(unix.NFTA_RULE_EXPRESSIONS, rule.b)
		b.setLength()
	}
	b.message(unix.NFT_MSG_DELCHAIN, 0, operation{})
	b.str(unix.NFTA_CHAIN_TABLE, probeTable)
	b.str(unix.NFTA_CHAIN_NAME, strings.Repeat("-", 8))
	b.setLength()
	b.finish()
	refused, err := c.refusals(b)
	if err != nil {
		return nil, err
	}
	if refused[uint32(len(b.ops))] == nil {
		return nil, fmt.Errorf("asking for statements: %w", cmp.Or(refused[0], c.dropProbe(), errNoAnswer))
	}
	out := make([]error, len(actions))
	for i := range out {
		out[i] = refused[before+1+uint32(i)]
	}
	return out, nil
}
