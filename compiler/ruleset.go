package compiler

import (
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
)

// PrioritySourceNAT is the priority of the chain that translates sources.
const PrioritySourceNAT = 90

// Chain priorities (linux/netfilter_ipv4.h): srcnat is where source addresses change.
const (
	priorityMangle = plan.PriorityMangle
	// prioritySourceNAT is ahead of where others translate: the first chain that translates a
	// connection does so for good, and chains of one priority run in the order in which they were
	// made.
	prioritySourceNAT = PrioritySourceNAT
	priorityTunnel    = 101 // behind all that translate
	// priorityPin is the first that nat chains may have (behind NF_IP_PRI_CONNTRACK,
	// net/netfilter/nf_tables_api.c). The number only orders them among each other: all of them run
	// where NF_IP_PRI_NAT_SRC (100) is.
	priorityPin = -199
)

// Bits of ct state and ct status (linux/netfilter/nf_conntrack_common.h, nf_tables' 1 << (ctinfo %
// 3 + 1)).
const (
	stateInvalid     = 1 << 0
	stateEstablished = 1 << 1
	stateRelated     = 1 << 2
	stateNew         = 1 << 3
	stateUntracked   = 1 << 6
	statusExpected   = 1 << 0
	statusConfirmed  = 1 << 3
)

// Names of the table's fixed objects. None may be a keyword of nft; the prefixes of generated names
// (mark-, pin-, exit-, snat-, policy-, list-, balance-, try-, uplink-, usable-) keep users' names
// apart from these and from keywords.
const (
	setUplinks    = "uplinks"          // interfaces of all uplinks
	setNotCarried = "uplinks-not-ipv"  // 4, or 6: interfaces of uplinks that do not carry the version
	setNever4     = "never-4"          // destinations that are never classified
	setNever6     = "never-6"          //
	setUnrouted   = "unrouted"         // kinds of destination that no table decides on
	setPortProto  = "with-ports"       // protocols of ports given without one
	setMasq       = "masqueraded"      // interfaces of uplinks with nat = "masquerade"; with -4 or -6: of this version alone
	mapMarks      = "marks"            // ct mark of a pinned connection -> packet mark
	mapPins       = "pins"             // uplink's interface -> ct mark
	mapExits      = "exits"            // uplink's interface on the way out -> ct mark, if that says who opened
	mapStrict     = "strict-tables"    // packet mark of a strict table -> strict pins
	mapPinStrict  = "pins-strict"      // uplink's interface -> ct mark of its strict table
	mapPinRule    = "pins-lookup-only" // interface of an uplink that a lookup-only rule leads to -> ct mark of its strict table
	setTunnels    = "tunnels"          // interfaces of uplinks without a gateway
	mapMembers    = "members"          // number of a member of a balance -> the chain that tries it
	mapStricter   = "members-strict"   // number of a member of a balance -> the chain that marks for its strict variant
	mapSNAT       = "source-nat"       // uplink's interface -> static source address

	prefixPin  = "pin-"  // chains that pin, by the name of the number
	prefixExit = "exit-" // those for what leaves, where the ct mark says who opened the connection

	chainNever          = "never"
	chainUnmarked       = "unmarked" // where elements of maps lead whose policy leaves packets to default
	chainPinStrict      = "pin-strict-table"
	chainStricter       = "member-strict" // after a strict policy's balance chose
	chainFromUplink     = "from-uplink"
	chainLeavesUnmarked = "leaves-unmarked" // where the packet carries no mark: default's primary uplink needs no pin
	chainLeavesPinned   = "leaves-pinned"   // where the connection carries a mark
	chainPinned         = "pinned"          // whose ct mark is ours
	chainFirst          = "first"
	chainFirstLocal     = "first-local"
	chainClassify       = "classify"
	chainClassifyLocal  = "classify-local"
)

// addRuleset builds the table: a connection is classified at its first packet and pinned to the
// uplink that carries this packet out; all later packets cost the same few rules however many
// policies there are.
func (c *compilation) addRuleset(classified *classification) {
	c.addFixedSets()
	c.addMarkChains()
	c.addPinChains()
	c.addReturnPins()
	c.addUplinkChains()
	c.addBalances()
	c.addClassification(classified)
	c.addReversePath()
	c.addFirstPacketChains()
	c.addOwnAddresses(classified)
	c.addHookChains()
	c.addNAT()
	c.addOffload()
	c.addTap()
}

func (c *compilation) addSet(s plan.Set) {
	for _, e := range s.Elements {
		s.Interval = s.Interval || e.From != e.To
	}
	sorting.Func(s.Elements, func(a, b plan.Element) int { return a.From.Compare(b.From) })
	c.out.Ruleset.Sets = append(c.out.Ruleset.Sets, s)
}

// addSharedSet adds a set that several rules use, once.
func (c *compilation) addSharedSet(s plan.Set) {
	if !c.shared[s.Name] {
		c.shared[s.Name] = true
		c.addSet(s)
	}
}

func (c *compilation) addChain(ch plan.Chain) {
	c.out.Ruleset.Chains = append(c.out.Ruleset.Chains, ch)
}

func (c *compilation) addFixedSets() {
	c.addSet(plan.Set{Name: setUplinks, Type: plan.TypeIfname, Comment: "interfaces of the uplinks", Elements: c.interfaces()})
	for _, family := range plan.Families {
		s := plan.Set{Name: plan.SetPrimary(family), Type: plan.TypeIfname, Comment: "uplink of default whose IPv" +
			familySuffix(family) + " connections stay unmarked"}
		if u := c.primary(family); u != nil {
			s.Elements = []plan.Element{c.routed(s.Name, plan.KeyFromString(u.Interface), family, u.Name)}
		}
		c.addSet(s)
	}
	c.addSet(plan.Set{Name: setNever4, Type: plan.TypeIPv4, Comment: "link-local, multicast, broadcast", Elements: never4})
	c.addSet(plan.Set{Name: setNever6, Type: plan.TypeIPv6, Comment: "link-local, multicast", Elements: never6})
	c.addSet(plan.Set{Name: setUnrouted, Type: plan.TypeFibAddrType, Comment: "the router itself, broadcast, multicast",
		Elements: unrouted})
}

// interfaces are those of the uplinks.
func (c *compilation) interfaces() (list []plan.Element) {
	for i := range c.doc.Uplinks {
		list = append(list, single(plan.KeyFromString(c.doc.Uplinks[i].Interface)))
	}
	return list
}

// primary is the uplink whose connections of a family stay unmarked: the only one of default's
// routes at the lowest distance, while default uses it. With several at that distance there is
// none: their connections are pinned so that they stay on their path.
func (c *compilation) primary(family plan.Family) *policy.Uplink {
	u := c.lowestOfDefault()
	if u == nil || !slices.Contains(c.families(), family) {
		return nil
	}
	used := c.healthy(c.doc.Default, c.readyRoutes(c.doc.Default, family), family)
	if slices.ContainsFunc(used, func(r readyRoute) bool { return r.Uplink == u.Name }) {
		return u
	}
	return nil
}

// lowestOfDefault is LowestOfDefault.
func (c *compilation) lowestOfDefault() *policy.Uplink { return LowestOfDefault(c.doc) }

// routed returns the element of a set that is there while a table has routes of a family, and notes
// that for whoever writes the plan for any machine.
func (c *compilation) routed(set string, k plan.Key, family plan.Family, table string) plan.Element {
	if !c.host.Known {
		c.out.Routed = append(c.out.Routed, plan.Routed{Family: family, Table: c.numbers.table(table), Set: set, Key: k})
	}
	return single(k)
}

func single(k plan.Key) plan.Element { return plan.Element{From: k, To: k} }

func markMatch(field plan.Field, mask, value uint32, not bool) plan.Match {
	k := plan.KeyFromUint32(value)
	return plan.Match{Field: field, Mask: mask, From: k, To: k, Not: not}
}

// anyBit matches when one of the bits is set; noBit when none is.
func anyBit(field plan.Field, bits uint32) plan.Match {
	return plan.Match{Field: field, Mask: bits, Not: true}
}

func noBit(field plan.Field, bits uint32) plan.Match { return plan.Match{Field: field, Mask: bits} }

func inSet(field plan.Field, set string) plan.Match { return plan.Match{Field: field, Set: set} }

func notInSet(field plan.Field, set string) plan.Match {
	return plan.Match{Field: field, Set: set, Not: true}
}

func gotoChain(chain string) plan.Action { return plan.Goto{Chain: chain} }

func rule(comment string, matches []plan.Match, actions ...plan.Action) plan.ChainRule {
	return plan.ChainRule{Matches: matches, Actions: actions, Comment: comment}
}

func when(matches ...plan.Match) []plan.Match { return matches }

var accept plan.Action = plan.Accept{}
