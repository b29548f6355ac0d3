package compiler

import (
	"fmt"
	"slices"
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// fullLogBurst bounds the lines that tell of a full map of clients, one a minute otherwise.
const fullLogBurst = 1

func clientsMap(balance string, family plan.Family) string {
	return balanceObject(balance, "clients-"+familySuffix(family))
}

func fullCounter(balance string) string { return balanceObject(balance, "full") }

// addClients adds the maps from clients to members. A client is in one of them once, so that it
// cannot have two members. The comment has what keys and values mean: with another mask, or another
// length of clients, the map is recreated.
func (c *compilation) addClients(b *policy.Balance) {
	comment := "balance " + b.Name
	c.out.Ruleset.Counters = append(c.out.Ruleset.Counters, plan.Counter{Name: fullCounter(b.Name), Comment: comment +
		": clients not remembered, the map was full"})
	for _, family := range plan.Families {
		c.addSet(plan.Set{
			Name: clientsMap(b.Name, family), Type: fieldsOf(family).src.Type(), Map: true, Data: plan.TypeMark,
			Dynamic: true, Size: uint32(b.Sticky.Size),
			Comment: fmt.Sprintf("%s: client /%d to member, in bits %#08x", comment, clientBits(b, family), c.mask),
		})
	}
}

// addKeepChains adds the chains that fill these maps.
func (c *compilation) addKeepChains(b balanceUse) {
	for _, family := range plan.Families {
		remember := plan.Remember{Field: fieldsOf(family).src, Prefix: clientPrefix(b.Balance, family), Mask: c.mask,
			Timeout: uint32((b.Sticky.Time + time.Second - 1) / time.Second), Set: clientsMap(b.Name, family)}
		asked := c.freeCTMark()
		c.addChain(plan.Chain{Name: b.object("keep-", family), Rules: []plan.ChainRule{
			rule("the client keeps it", append(slices.Clone(asked), plan.NFProto(family)), remember, b.chosen()),
			rule("no room for another client", asked,
				plan.Limit{Rate: 1, Burst: fullLogBurst, Minutes: true}, plan.Log{Prefix: "pbr:" + b.Name + " sticky is full "}),
			rule("no room for another client", asked, plan.Count{Counter: fullCounter(b.Name)}),
			rule("not remembered", nil, b.chosen()),
		}})
	}
}

// recalling returns the rules that use the client's remembered member if it is usable, and forget
// it otherwise. nftables cannot look up in one map what it found in another, so the connection's
// mark, which nothing has used yet, holds the number in between.
func (c *compilation) recalling(b balanceUse, family plan.Family, found plan.Action) []plan.ChainRule {
	// nft lists the IP version as a part of the action that looks at the address, and puts it in
	// front of that.
	asked := append(c.freeCTMark(), plan.NFProto(family))
	client, prefix, clients := fieldsOf(family).src, clientPrefix(b.Balance, family), clientsMap(b.Name, family)
	return []plan.ChainRule{
		rule("no member yet", nil, plan.SetMark{Mask: c.mask}),
		rule("the client's member", asked, plan.RecallCTMark{Field: client, Prefix: prefix, Set: clients}),
		rule("into the packet's mark", nil, plan.VMap{Field: plan.FieldCTMark, Mask: c.mask, Set: mapMembers}),
		rule("the connection is not pinned yet", nil, plan.SetCTMark{Mask: c.mask}),
		rule("if it is usable", when(plan.Match{Field: plan.FieldMark, Mask: c.mask, Set: b.object("usable-", family)}), found),
		rule("else it is forgotten", asked, plan.Forget{Field: client, Prefix: prefix, Mask: c.mask, Set: clients}),
	}
}

// clientBits is how many bits of an address make a client.
func clientBits(b *policy.Balance, family plan.Family) int {
	if family == plan.IPv6 {
		return b.Sticky.Prefix6
	}
	return 32
}

// clientPrefix is clientBits as an action has it: 0 for whole addresses.
func clientPrefix(b *policy.Balance, family plan.Family) uint8 {
	if n := clientBits(b, family); n < 8*fieldsOf(family).src.Type().Width() {
		return uint8(n)
	}
	return 0
}

// freeCTMark matches packets of a connection without a mark of somebody else's, which a look-up
// into it would overwrite. The clients of others are neither looked up nor remembered.
func (c *compilation) freeCTMark() []plan.Match {
	if c.mask == allBits {
		return nil
	}
	return when(markMatch(plan.FieldCTMark, ^c.mask, 0, false))
}
