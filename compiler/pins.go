package compiler

import (
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// addMarkChains adds one chain per routing table that sets the packet mark. They exist because an
// nft rule cannot merge bits of two registers before kernel 6.13.
func (c *compilation) addMarkChains() {
	var marks []plan.Element
	for _, n := range c.out.Numbers {
		if n.Mark == 0 {
			continue
		}
		chain := "mark-" + n.Name
		c.addChain(plan.Chain{Name: chain, Rules: []plan.ChainRule{
			rule("table "+n.Name, nil, plan.SetMark{Mask: c.mask, Value: n.Mark}, accept),
		}})
		if n.Uplink != "" || n.Name == plan.DefaultName && c.keepsPastRules() {
			marks = append(marks, going(plan.KeyFromUint32(n.Mark), chain))
		}
		if n.Uplink != "" && c.numbers.inside != 0 {
			marks = append(marks, going(plan.KeyFromUint32(n.Mark|c.numbers.inside), chain))
		}
	}
	c.addSet(plan.Set{Name: mapMarks, Type: plan.TypeMark, Map: true,
		Comment: "ct mark of a pinned connection: its table", Elements: marks})
}

// going is the element of a map that goes to a chain.
func going(k plan.Key, chain string) plan.Element { return plan.Element{From: k, To: k, Goto: chain} }

func (c *compilation) addPinChains() {
	for i := range c.doc.Uplinks {
		c.addPinChain(c.doc.Uplinks[i].Name, "")
	}
	if c.numbers.inside != 0 {
		for i := range c.doc.Uplinks {
			c.addExitChain(c.doc.Uplinks[i].Name, "")
		}
	}
	strict := strictUplinks(c.doc)
	if len(strict) == 0 {
		return
	}
	c.addLookupOnlyPins()
	for _, name := range strict {
		c.addExitChain(name, strictSuffix)
	}
	c.addSet(c.pinMap(mapPinStrict, "interface: the uplink to pin to, strictly", strict,
		func(uplink string) string { return c.exitChain(uplink + strictSuffix) }))
	c.addChain(plan.Chain{Name: chainPinStrict, Rules: []plan.ChainRule{
		rule("strict: stays unreachable without its uplink", nil, plan.VMap{Field: plan.FieldOIFName, Set: mapPinStrict}),
	}})
	var tables []plan.Element
	for _, mark := range c.strictMarks() {
		k := plan.KeyFromUint32(mark)
		tables = append(tables, going(k, chainPinStrict))
	}
	c.addSet(plan.Set{Name: mapStrict, Type: plan.TypeMark, Map: true, Comment: "marks of the strict tables", Elements: tables})
}

// strictMarks returns the marks of first packets whose connections are to be pinned strictly: those
// of strict tables, and what strict policies give them.
func (c *compilation) strictMarks() (marks []uint32) {
	for i := range c.doc.Tables {
		if t := &c.doc.Tables[i]; t.Strict && t.OnReturn != policy.ReturnMove {
			marks = append(marks, c.numbers.mark(t.Name))
		}
	}
	for _, t := range policy.StrictVariants(c.doc) {
		marks = append(marks, c.numbers.mark(t.Name+strictSuffix))
	}
	for _, r := range c.returns {
		if r.Variant && !r.Move && r.Table.Strict {
			marks = append(marks, c.numbers.mark(r.Name))
		}
	}
	for _, name := range policy.StrictUplinks(c.doc) {
		marks = append(marks, c.numbers.mark(name+strictSuffix))
	}
	return marks
}

// notCarried leaves connections alone that a rule sent to main, and main through an uplink that
// does not carry their IP version: its pinned table has no route for them, and theirs is the rule's
// to find.
func (c *compilation) notCarried() (rules []plan.ChainRule) {
	if !c.looksIntoMain() {
		return nil
	}
	for _, family := range c.families() {
		s := plan.Set{Name: setNotCarried + familySuffix(family), Type: plan.TypeIfname,
			Comment: "uplinks that do not carry IPv" + familySuffix(family)}
		for i := range c.doc.Uplinks {
			if u := &c.doc.Uplinks[i]; !Carries(u, family) {
				s.Elements = append(s.Elements, single(plan.KeyFromString(u.Interface)))
			}
		}
		if s.Elements != nil {
			c.addSet(s)
			rules = append(rules, rule("main's own",
				when(plan.NFProto(family), markMatch(plan.FieldMark, c.mask, 0, false), inSet(plan.FieldOIFName, s.Name)), accept))
		}
	}
	return rules
}

// addLookupOnlyPins adds the map for unmarked connections that leave through an uplink of a
// lookup-only-in-table rule: once pinned, only a strict pin keeps what the rule asks for.
func (c *compilation) addLookupOnlyPins() {
	s := plan.Set{Name: mapPinRule, Type: plan.TypeIfname, Map: true,
		Comment: "interface: the uplink to pin to, strictly, if a rule led there"}
	for _, uplink := range lookupOnlyUplinks(c.doc) {
		k := plan.KeyFromString(c.uplinks[uplink].Interface)
		s.Elements = append(s.Elements, going(k, c.exitChain(uplink+strictSuffix)))
	}
	if s.Elements != nil {
		c.addSet(s)
	}
}

// pinMap is a map from the interfaces of the named uplinks to the chains that pin.
func (c *compilation) pinMap(name, comment string, uplinks []string, chain func(uplink string) string) plan.Set {
	s := plan.Set{Name: name, Type: plan.TypeIfname, Map: true, Comment: comment}
	for _, uplink := range uplinks {
		s.Elements = append(s.Elements, going(plan.KeyFromString(c.uplinks[uplink].Interface), chain(uplink)))
	}
	return s
}

// pinByArrival returns the rules that pin a connection to the uplink that its packet arrived on.
func (c *compilation) pinByArrival() []plan.ChainRule {
	return c.byInterface(plan.FieldIIFName, "pin: answers use the same uplink", c.pins())
}

// pinByExit returns the rules that pin a connection to the uplink that its packet leaves through.
func (c *compilation) pinByExit() []plan.ChainRule {
	to := c.pins()
	if c.numbers.inside != 0 {
		to = c.pinMap(mapExits, "interface: the uplink to pin to, for what leaves", c.seldomLast(), c.exitChain)
	}
	return c.byInterface(plan.FieldOIFName, "pin to the uplink", to)
}

// pins is the map of the chains that pin whichever side opened the connection.
func (c *compilation) pins() plan.Set {
	return c.pinMap(mapPins, "interface: the uplink to pin to", c.seldomLast(), func(uplink string) string { return prefixPin + uplink })
}

// byInterface returns the rules that lead where a map of interfaces does, and adds the map if they
// are not few.
func (c *compilation) byInterface(field plan.Field, comment string, to plan.Set) (rules []plan.ChainRule) {
	if len(to.Elements) > fewUplinks {
		c.addSharedSet(to)
		return []plan.ChainRule{rule(comment, nil, plan.VMap{Field: field, Set: to.Name})}
	}
	for _, e := range to.Elements {
		rules = append(rules, rule(comment, when(between(field, e)), gotoChain(e.Goto)))
	}
	return rules
}

// seldomLast returns the names of the uplinks, that of default's first one last: most of its
// connections are not pinned.
func (c *compilation) seldomLast() (names []string) {
	seldom := c.lowestOfDefault()
	for i := range c.doc.Uplinks {
		if u := &c.doc.Uplinks[i]; u != seldom {
			names = append(names, u.Name)
		}
	}
	if seldom != nil {
		names = append(names, seldom.Name)
	}
	return names
}

// addPinChain adds the chain that pins to an uplink, whichever side opened the connection.
func (c *compilation) addPinChain(uplink, suffix string) {
	c.addChain(plan.Chain{Name: prefixPin + uplink + suffix, Rules: []plan.ChainRule{
		rule("uplink "+uplink, nil, plan.SetCTMark{Mask: c.mask, Value: c.numbers.mark(uplink + suffix)}, accept),
	}})
}

// exitChain names the chain that pins what leaves through an uplink; its argument is the name of
// the number.
func (c *compilation) exitChain(number string) string {
	if c.numbers.inside == 0 {
		return prefixPin + number
	}
	return prefixExit + number
}

// addExitChain adds the chain that pins what leaves through an uplink. A packet was opened from
// inside unless it arrived from an uplink; those are never marked.
func (c *compilation) addExitChain(uplink, suffix string) {
	if c.numbers.inside == 0 {
		c.addPinChain(uplink, suffix)
		return
	}
	mark := c.numbers.mark(uplink + suffix)
	c.addChain(plan.Chain{Name: prefixExit + uplink + suffix, Rules: []plan.ChainRule{
		rule("from another uplink to "+uplink, when(markMatch(plan.FieldMark, c.mask, 0, false), inSet(plan.FieldIIFName, setUplinks)),
			plan.SetCTMark{Mask: c.mask, Value: mark}, accept),
		rule("from inside to "+uplink, nil, plan.SetCTMark{Mask: c.mask, Value: mark | c.numbers.inside}, accept),
	}})
}
