package routeros

import (
	"fmt"
	"strings"

	"pbr/compiler/from"
)

// mostRules is how many rules a policy has room for, less some air (docs/policy.md,
// too-many-rules).
const mostRules = 590

// killSwitches looks for rules that only say which table a routing mark means.
func (b *builder) killSwitches() {
	for _, s := range b.rules {
		mark := s.get("routing-mark")
		if t := b.tables[s.get("table")]; mark == "" && t != nil && s.has("action", "lookup-only-in-table") {
			t.only = true
		}
		if mark == "" || len(ruleMatchers(s)) > 0 {
			continue
		}
		name := orElse(s.get("table"), "main")
		if _, known := b.markTables[mark]; known {
			s.Merge("an earlier rule is for the same mark")
			continue
		}
		switch action := orElse(s.get("action"), "lookup"); {
		case action == "lookup-only-in-table" && name != "main": // a table without routes lets nothing through
			t := b.table(name)
			t.strict = true
			t.by = append(t.by, s)
			b.markTables[mark] = name
		case action == "lookup", action == "lookup-only-in-table":
			b.markTables[mark] = name
			s.Merge("policies name the table themselves")
		default:
			s.DropSevere("a rule that stops what is marked " + mark + ": no policy is made for that mark")
			b.markTables[mark] = "main"
		}
	}
}

// ruleMatchers are what a rule selects by beside its mark.
func ruleMatchers(s *statement) (out []arg) {
	for _, a := range s.args {
		switch a.key {
		case "action", "table", "routing-mark", "comment", "disabled", "priority":
		default:
			if a.value != "" {
				out = append(out, a)
			}
		}
	}
	return out
}

func (b *builder) buildRules() {
	for _, s := range b.rules {
		if s.get("routing-mark") != "" {
			if !s.Accounted() {
				s.DropSevere("a rule cannot select by a routing mark and something else")
			}
			continue
		}
		if r := b.rule(s); r != nil {
			if len(b.draft.Rules) >= mostRules {
				s.DropSevere(fmt.Sprintf("at most %d rules are possible", mostRules))
				continue
			}
			r.Name = b.ruleNames.Give(orElse(slug(s.get("comment")), fmt.Sprintf("rule-%d", s.Line)))
			r.Origins = []from.Origin{b.origin(s)}
			b.draft.Rules = append(b.draft.Rules, r)
			s.Import("rule " + r.Name)
		}
	}
}

// rule makes a [[rule]]; nil if that cannot be.
func (b *builder) rule(s *statement) *from.Rule {
	r := &from.Rule{}
	if s.get("priority") != "" {
		r.Keys = append(r.Keys, from.Key{Name: "priority", Value: fmt.Sprint(min(s.number("priority", 0), 65535))})
	}
	for _, a := range ruleMatchers(s) {
		switch a.key {
		case "src-address", "dst-address":
			text, _, ok := addressText(a.value)
			if !ok {
				s.DropSevere("its " + a.key + " cannot be read")
				return nil
			}
			r.Keys = append(r.Keys, from.Key{Name: keyNames[keyOf(a.key)], Value: from.Quote(text)})
		case "interface":
			if strings.HasPrefix(a.value, "*") || strings.HasPrefix(a.value, "!") {
				s.DropSevere("its interface cannot be named")
				return nil
			}
			r.Keys = append(r.Keys, from.Key{Name: "iif", Value: from.Quote(b.iface(a.value))})
		case "min-prefix":
			if a.value == "0" && orElse(s.get("table"), "main") == "main" && len(ruleMatchers(s)) == 1 {
				s.Merge("routes of main but its default come first anyway (main-first = \"specific\")")
				return nil
			}
			s.DropSevere("a rule cannot select by min-prefix")
			return nil
		default:
			s.DropSevere("a rule cannot select by " + a.key)
			return nil
		}
	}
	return b.ruleTarget(s, r)
}

func (b *builder) ruleTarget(s *statement, r *from.Rule) *from.Rule {
	action := orElse(s.get("action"), "lookup")
	switch action {
	case "drop", "unreachable":
		r.Keys = append(r.Keys, from.Key{Name: "action", Value: from.Quote(action)})
		return r
	case "lookup", "lookup-only-in-table":
	default:
		s.DropSevere("its action " + action + " is not known")
		return nil
	}
	name := orElse(s.get("table"), "main")
	t := b.tables[name]
	switch {
	case name == "main": // whose default routes are those of [default]; its others come first anyway
		r.Keys = append(r.Keys, from.Key{Name: "table", Value: from.Quote("default")})
	case t == nil && action == "lookup-only-in-table": // as on the router, where the lookup finds nothing
		s.Change("no route of the table " + name + " was carried over: what the rule selects is unreachable")
		action = "unreachable"
	case t == nil:
		s.DropSevere("no route of the table " + name + " was carried over")
		return nil
	case t.closes != "":
		action = t.closes
	default:
		r.Keys = append(r.Keys, from.Key{Name: "table", Value: from.Quote(t.draft.Name)})
	}
	if action != "lookup" {
		r.Keys = append(r.Keys, from.Key{Name: "action", Value: from.Quote(action)})
	}
	return r
}

// slug makes a name of a comment, empty if there is nothing to make one of.
func slug(comment string) string {
	words := strings.FieldsFunc(strings.ToLower(comment), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	out := ""
	for _, w := range words {
		if len(out)+len(w) > 24 {
			break
		}
		if out != "" {
			out += "-"
		}
		out += w
	}
	return out
}
