package render

import (
	"slices"

	"pbr/compiler/plan"
)

// heldChains are the chains that hand packets to a program by a queue, and those that lead there. A
// kernel without nftables' own queue would make nft refuse all of a file with them, and the target
// that pbr takes there instead has no form in nft's language.
func heldChains(rs *plan.Ruleset) map[string]bool {
	held := map[string]bool{}
	queues := func(a plan.Action) bool {
		switch a := a.(type) {
		case plan.Queue, plan.QueueTarget:
			return true
		default:
			o := plan.Uses(a)
			return o.Kind == plan.ObjectChain && held[o.Name]
		}
	}
	for i := range rs.Chains { // regular chains come before those that lead to them
		c := &rs.Chains[i]
		if slices.ContainsFunc(c.Rules, func(r plan.ChainRule) bool { return slices.ContainsFunc(r.Actions, queues) }) {
			held[c.Name] = true
		}
	}
	return held
}

// appendHeldComment says, in a file for nft alone, what it lacks.
func appendHeldComment(b []byte, rs *plan.Ruleset) []byte {
	if len(heldChains(rs)) > 0 {
		b = append(b, "\n# The chains that show DNS answers to pbr watch are not in here: "+
			"a kernel without nftables' queue would make nft refuse the whole file.\n"+
			"# \"pbr apply\" and the script of \"pbr compile\" find out what there is.\n"...)
	}
	return b
}

// appendScriptHeld adds these chains, in a transaction of their own, which may fail: without them
// lists of domains get no members from DNS answers, and all else works.
func appendScriptHeld(b []byte, rs *plan.Ruleset) []byte {
	held := heldChains(rs)
	if len(held) == 0 {
		return b
	}
	b = append(b, "\n# DNS answers are shown to pbr watch, where nftables has queues\n"+
		"nft -f - 2>/dev/null <<'EOF' || echo 'this kernel has no nft_queue: "+
		"pbr apply shows DNS answers to pbr watch in another way' >&2\n"...)
	b = append(b, "table inet "+plan.TableName+" {\n"...)
	first := true
	for i := range rs.Chains {
		if c := &rs.Chains[i]; held[c.Name] {
			if !first {
				b = append(b, '\n')
			}
			b, first = appendChain(b, c), false
		}
	}
	return append(b, "}\nEOF\n"...)
}
