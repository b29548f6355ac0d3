package nft

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/lazy"
	"pbr/compiler/plan"
	"pbr/compiler/sorting"
	"pbr/kernel/facts"
)

// familyNames are nft's words for NFPROTO_* (linux/netfilter.h).
var familyNames = lazy.Value[map[uint8]string]{Make: func() map[uint8]string {
	return map[uint8]string{
		unix.NFPROTO_INET: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6",
		unix.NFPROTO_ARP: "arp", unix.NFPROTO_NETDEV: "netdev", unix.NFPROTO_BRIDGE: "bridge",
	}
}}

// ingress is the hook that follows those of hooks in table inet (NF_INET_INGRESS,
// linux/netfilter.h).
const ingress = 5

// otherChain is a chain of somebody else's.
type otherChain struct {
	table, name string
	hook        *facts.Hook
	// drops tells a base chain whose policy is drop.
	drops bool
	// from are the rules that jump here.
	from []otherJump
}

// otherJump is a rule of a chain that jumps to another one, with packets that leave through some
// interfaces.
type otherJump struct {
	chain *otherChain
	out   outgoing
	when  []facts.Condition
}

// otherRule is a rule of somebody else's.
type otherRule struct {
	chain  *otherChain
	family uint8
	handle uint64
	exprs  []expr
	walk   marksWalk
}

// others gathers the tables that are not pbr's.
type others struct {
	chains map[[2]string]*otherChain
	rules  []otherRule
	// name is the name of the interface with an index.
	name func(index uint32) string
}

// OfOthers is what rules of others do that has to do with pbr's.
type OfOthers struct {
	Marks     []facts.MarkUse
	SourceNAT []facts.SourceNAT
	// Translations are those of SourceNAT that name an address.
	Translations []facts.Translation
	Untracked    []facts.Untracked
	Offloads     []facts.Offload
	// ReverseFilters, Dropping and Chains are as in facts.Facts.
	ReverseFilters []facts.ReverseFilter
	Dropping       []facts.DropChain
	Chains         []string
}

// Others reads, from all tables but pbr's, which rules have to do with marks, which translate
// source addresses, and which keep packets from connection tracking or from all chains. name is the
// name of the interface with an index.
func (c *Conn) Others(name func(index uint32) string) (OfOthers, error) {
	o, err := c.readOthers(name)
	if err != nil {
		return OfOthers{}, err
	}
	return o.uses(), nil
}

// readOthers reads the chains and rules of all tables but pbr's, as they were at one time.
func (c *Conn) readOthers(name func(index uint32) string) (*others, error) {
	for range readAttempts {
		o := &others{chains: map[[2]string]*otherChain{}, name: name}
		before, err := c.Generation()
		if err != nil {
			return nil, err
		}
		if err := o.read(c.socket); err != nil && err != errDumpInterrupted {
			return nil, fmt.Errorf("reading the nftables of others: %w", err)
		} else if err == nil {
			after, err := c.Generation()
			if err != nil {
				return nil, err
			}
			if after == before {
				return o, nil
			}
		}
	}
	return nil, fmt.Errorf("reading the nftables of others: %w at each of %d attempts", ErrChanged, readAttempts)
}

func (o *others) read(s *socket) error {
	err := s.dumpFamilies(unix.NFT_MSG_GETCHAIN, func(family uint8, raw []byte) {
		ch := o.chain(family, text(attr(raw, unix.NFTA_CHAIN_TABLE)), text(attr(raw, unix.NFTA_CHAIN_NAME)))
		if hook := attr(raw, unix.NFTA_CHAIN_HOOK); hook != nil && ch != nil {
			ch.hook = &facts.Hook{
				Name:     hookName(family, number(attr(hook, unix.NFTA_HOOK_HOOKNUM))),
				Priority: int32(number(attr(hook, unix.NFTA_HOOK_PRIORITY))),
			}
			policy := attr(raw, unix.NFTA_CHAIN_POLICY)
			ch.drops = policy != nil && number(policy) == nfDrop
		}
	})
	if err != nil {
		return err
	}
	err = s.dumpFamilies(unix.NFT_MSG_GETRULE, func(family uint8, raw []byte) {
		ch := o.chain(family, text(attr(raw, unix.NFTA_RULE_TABLE)), text(attr(raw, unix.NFTA_RULE_CHAIN)))
		if ch == nil {
			return
		}
		r := otherRule{chain: ch, family: family, handle: number64(attr(raw, unix.NFTA_RULE_HANDLE))}
		for _, x := range splitExprs(attr(raw, unix.NFTA_RULE_EXPRESSIONS)) {
			x.data = slices.Clone(x.data) // the buffer is used again
			r.exprs = append(r.exprs, x)
		}
		o.rules = append(o.rules, r)
	})
	if err != nil {
		return err
	}
	for i := range o.rules {
		if err := o.follow(s, &o.rules[i]); err != nil {
			return err
		}
	}
	return nil
}

// follow walks through a rule, with the sets of interfaces that it looks up, and links the chains
// that it jumps to.
func (o *others) follow(s *socket, r *otherRule) error {
	_, table, _ := strings.Cut(r.chain.table, " ")
	r.walk.name = o.name
	var err error
	r.walk.elements = func(set string, indexes bool) (elements []ifaceElement, known bool) {
		var failed error
		if elements, known, failed = o.interfaces(s, r.family, table, set, indexes); failed != nil {
			err = failed
		}
		return elements, known
	}
	conditions := conditionsWalk{walk: &r.walk, family: plan.TableFamily(r.chain.table)}
	for i := range r.exprs {
		x := &r.exprs[i]
		r.walk.step(x)
		conditions.step(x)
		if to := x.jump(); to != "" {
			target := o.chain(r.family, table, to)
			target.from = append(target.from, otherJump{r.chain, r.walk.out, conditions.when})
		}
	}
	for _, e := range r.walk.jumps {
		target := o.chain(r.family, table, e.chain)
		target.from = append(target.from, otherJump{r.chain, outgoing{names: []string{e.name}, some: true}, conditions.when})
	}
	for _, e := range conditions.jumps {
		target := o.chain(r.family, table, e.chain)
		target.from = append(target.from,
			otherJump{r.chain, r.walk.out, slices.Concat(conditions.when, []facts.Condition{{In: []string{e.name}}})})
	}
	return err
}

// chain returns a chain by its table and name; nil for pbr's.
func (o *others) chain(family uint8, table, name string) *otherChain {
	if family == familyInet && table == plan.TableName {
		return nil
	}
	k := [2]string{tableLabel(family, table), name}
	if o.chains[k] == nil {
		o.chains[k] = &otherChain{table: k[0], name: name}
	}
	return o.chains[k]
}

func tableLabel(family uint8, table string) string {
	name, known := familyNames.Get()[family]
	if !known {
		name = fmt.Sprintf("family-%d", family)
	}
	return name + " " + table
}

func hookName(family uint8, num uint32) string {
	switch {
	case family == unix.NFPROTO_NETDEV && num == 0, family == unix.NFPROTO_INET && num == ingress:
		return "ingress"
	case family == unix.NFPROTO_NETDEV && num == 1:
		return "egress"
	case int(num) < len(hooks):
		return hooks[num]
	}
	return fmt.Sprintf("hook %d", num)
}

// jump is the chain that the expression's verdict leads to, empty for none.
func (x *expr) jump() string {
	if x.name != "immediate" {
		return ""
	}
	return text(attr(attr(attr(x.data, unix.NFTA_IMMEDIATE_DATA), unix.NFTA_DATA_VERDICT), unix.NFTA_VERDICT_CHAIN))
}

// hooks are those from which packets get to the chain.
func (ch *otherChain) hooks(seen map[*otherChain]bool) []facts.Hook {
	if seen[ch] {
		return nil
	}
	seen[ch] = true
	if ch.hook != nil {
		return []facts.Hook{*ch.hook}
	}
	var out []facts.Hook
	for _, jump := range ch.from {
		for _, h := range jump.chain.hooks(seen) {
			if !slices.Contains(out, h) {
				out = append(out, h)
			}
		}
	}
	return out
}

// uses looks through all chains and rules.
func (o *others) uses() (out OfOthers) {
	for _, ch := range o.chains {
		out.Chains = append(out.Chains, ch.table+" "+ch.name)
		if ch.drops {
			out.Dropping = append(out.Dropping, facts.DropChain{Table: ch.table, Chain: ch.name, Hook: ch.hook.Name})
		}
	}
	slices.Sort(out.Chains)
	sorting.Func(out.Dropping, func(a, b facts.DropChain) int { return strings.Compare(a.Table+" "+a.Chain, b.Table+" "+b.Chain) })
	for i := range o.rules {
		r := &o.rules[i]
		w := &r.walk
		for _, u := range w.uses {
			u.Table, u.Chain, u.Handle, u.Hooks = r.chain.table, r.chain.name, r.handle, r.chain.hooks(map[*otherChain]bool{})
			out.Marks = append(out.Marks, u)
		}
		if w.sourceNAT {
			out.translations(r)
		}
		if w.back.dropped && slices.ContainsFunc(r.chain.hooks(map[*otherChain]bool{}),
			func(h facts.Hook) bool { return h.Name == "prerouting" }) {
			out.ReverseFilters = append(out.ReverseFilters, facts.ReverseFilter{
				Table: r.chain.table, Chain: r.chain.name, Handle: r.handle, Family: w.back.familyIn(r.chain.table),
				Limited: w.back.limited,
			})
		}
		if w.flowtable != "" {
			out.Offloads = append(out.Offloads, facts.Offload{
				Table: r.chain.table, Chain: r.chain.name, Handle: r.handle, Flowtable: w.flowtable, SparesDNS: w.sparesDNS,
			})
		}
		if w.untracked {
			out.Untracked = append(out.Untracked, facts.Untracked{
				Table: r.chain.table, Chain: r.chain.name, Handle: r.handle, Hooks: r.chain.hooks(map[*otherChain]bool{}),
			})
		}
	}
	return out
}

// translations adds a rule that translates sources, once for each interface that it is for.
func (out *OfOthers) translations(r *otherRule) {
	for _, oif := range r.interfaces() {
		out.SourceNAT = append(out.SourceNAT, facts.SourceNAT{Table: r.chain.table, OIF: oif})
		if r.walk.toAddress {
			out.Translations = append(out.Translations, facts.Translation{
				Table: r.chain.table, Chain: r.chain.name, OIF: oif, Handle: r.handle, Hooks: r.chain.hooks(map[*otherChain]bool{}),
			})
		}
	}
}

// dumpFamilies lists objects of all families with theirs.
func (s *socket) dumpFamilies(msg uint16, f func(family uint8, attrs []byte)) error {
	for _, family := range []uint8{unix.NFPROTO_INET, unix.NFPROTO_IPV4, unix.NFPROTO_IPV6, unix.NFPROTO_ARP,
		unix.NFPROTO_NETDEV, unix.NFPROTO_BRIDGE} {
		err := s.dump(msg, family, nil, func(attrs []byte) error {
			f(family, attrs)
			return nil
		})
		if err != nil && err != unix.EOPNOTSUPP && err != unix.EAFNOSUPPORT { // the kernel lacks the family
			return fmt.Errorf("tables of family %s: %w", strings.TrimSpace(familyNames.Get()[family]), err)
		}
	}
	return nil
}
