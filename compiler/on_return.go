package compiler

import (
	"cmp"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Connections that move back when a better uplink is usable again carry a number of their own,
// UPLINK/fallback, so that moving them is one request. Which uplinks are worse is the table's to
// say: each table whose connections move back has a map from interfaces to pins.

const (
	mapReturns     = "returning-tables" // packet mark of a table whose connections move back -> the chain that pins them
	mapReturnPins  = "pins-return-"     // TABLE: interface -> ct mark
	chainReturnPin = "pin-return-"      // TABLE
)

func fallbackSuffix(strict bool) string {
	if strict {
		return "/strict-fallback"
	}
	return "/fallback"
}

// variant is a table under the name that policies with another on-return use it by.
func variant(r *policy.Return) *policy.Table {
	v := *r.Table
	v.Name = r.Name
	return &v
}

// addReturnPins adds the pins of connections that move back.
func (c *compilation) addReturnPins() {
	for _, f := range policy.Fallbacks(c.doc) {
		c.addExitChain(f.Uplink, fallbackSuffix(f.Strict))
	}
	var tables []plan.Element
	added := map[string]bool{}
	for _, r := range c.returns {
		if !r.Move || added[r.Name] {
			continue
		}
		added[r.Name] = true
		c.addSet(c.returnMap(r.Name))
		mark := c.numbers.mark(r.Name)
		if mark == 0 {
			continue // default's, unmarked
		}
		c.addChain(plan.Chain{Name: chainReturnPin + r.Name, Rules: []plan.ChainRule{
			rule("by a better uplink, or until one returns", nil, plan.VMap{Field: plan.FieldOIFName, Set: mapReturnPins + r.Name}),
		}})
		e := single(plan.KeyFromUint32(mark))
		e.Goto = chainReturnPin + r.Name
		tables = append(tables, e)
	}
	if tables != nil {
		c.addSet(plan.Set{Name: mapReturns, Type: plan.TypeMark, Map: true,
			Comment: "marks of the tables whose connections move back", Elements: tables})
	}
}

// returnMap is the map from the interfaces of a table's uplinks to their pins.
func (c *compilation) returnMap(name string) plan.Set {
	s := plan.Set{Name: mapReturnPins + name, Type: plan.TypeIfname, Map: true,
		Comment: "interface: the uplink to pin to, until a better one returns"}
	seen := map[string]bool{}
	for _, r := range c.returns {
		if r.Name != name {
			continue
		}
		for _, route := range r.Table.Routes {
			if seen[route.Uplink] {
				continue
			}
			seen[route.Uplink] = true
			suffix := ""
			switch worse := c.worse(name, route.Uplink); {
			case worse:
				suffix = fallbackSuffix(r.Table.Strict)
			case r.Table.Strict:
				suffix = strictSuffix
			}
			e := single(plan.KeyFromString(c.uplinks[route.Uplink].Interface))
			e.Goto = c.exitChain(route.Uplink + suffix)
			s.Elements = append(s.Elements, e)
		}
	}
	return s
}

// worse reports whether connections of a table, or of a variant of one, over an uplink move back.
func (c *compilation) worse(name, uplink string) bool {
	return slices.ContainsFunc(c.returns, func(r policy.Return) bool { return r.Name == name && r.Worse(uplink) })
}

// returnRule pins the connections of tables that move back.
func (c *compilation) returnRule() []plan.ChainRule {
	if !slices.ContainsFunc(c.returns, func(r policy.Return) bool { return r.Move && c.numbers.mark(r.Name) != 0 }) {
		return nil
	}
	return []plan.ChainRule{rule("from a table whose connections move back", nil,
		plan.VMap{Field: plan.FieldMark, Mask: c.mask, Set: mapReturns})}
}

// defaultReturnRule pins those of default, which carry no mark.
func (c *compilation) defaultReturnRule(unmarked plan.Match) []plan.ChainRule {
	if c.doc.Default == nil || c.doc.Default.OnReturn != policy.ReturnMove {
		return nil
	}
	return []plan.ChainRule{rule("default's, until a better uplink returns", when(unmarked), plan.VMap{
		Field: plan.FieldOIFName, Set: mapReturnPins + cmp.Or(c.doc.Default.Name, plan.DefaultName)})}
}
