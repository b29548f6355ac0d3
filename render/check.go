package render

import (
	"fmt"
	"strings"

	"pbr/compiler/plan"
)

// checkRuleset refuses what nft's language has no words for: strange names, and quotes and control
// characters inside quoted text. Without it such a name could end its line and begin another rule.
func checkRuleset(rs *plan.Ruleset) error {
	for i := range rs.Counters {
		c := &rs.Counters[i]
		if err := checkObject("counter", c.Name, c.Comment); err != nil {
			return err
		}
	}
	for i := range rs.Flowtables {
		if err := checkFlowtable(&rs.Flowtables[i]); err != nil {
			return err
		}
	}
	for i := range rs.Sets {
		if err := checkSet(&rs.Sets[i]); err != nil {
			return err
		}
	}
	for i := range rs.Chains {
		if err := checkChain(&rs.Chains[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkObject(kind, name, comment string) error {
	if !identifier(name) {
		return fmt.Errorf("%s %q: not a name that nft reads", kind, name)
	}
	if !quotable(comment) {
		return fmt.Errorf("%s %s: comment %q cannot be quoted for nft", kind, name, comment)
	}
	return nil
}

func checkSet(s *plan.Set) error {
	kind := setKind(s)
	if err := checkObject(kind, s.Name, s.Comment); err != nil {
		return err
	}
	if err := checkSetType(s); err != nil {
		return fmt.Errorf("%s %s: %w", kind, s.Name, err)
	}
	if s.RunTime && (s.Map || s.Dynamic || len(s.Elements) > 0) {
		return fmt.Errorf("%s %s: elements of a set that others fill", kind, s.Name)
	}
	if s.Data != 0 && (s.Data.Width() == 0 || !s.Map || !s.Dynamic) || s.Dynamic && (s.Data == 0 || s.Interval || len(s.Elements) > 0) {
		return fmt.Errorf("%s %s: not a map that packets fill", kind, s.Name)
	}
	for i := range s.Elements {
		e := &s.Elements[i]
		if s.Type == plan.TypeIfname && !quotable(e.From.Text()) {
			return fmt.Errorf("%s %s: interface name %q cannot be quoted for nft", kind, s.Name, e.From.Text())
		}
		if s.Map != (e.Goto != "") || s.Map && !identifier(e.Goto) || e.Jump && !s.Map {
			return fmt.Errorf("%s %s: element %s leads to chain %q", kind, s.Name, appendInterval(nil, s.Type, e.From, e.To), e.Goto)
		}
		if !quotable(e.Counter) || e.Counter != "" && !s.Counted {
			return fmt.Errorf("%s %s: element %s counts for %q", kind, s.Name, appendInterval(nil, s.Type, e.From, e.To), e.Counter)
		}
	}
	for i := range s.Tuples {
		if err := checkTuple(s, &s.Tuples[i]); err != nil {
			return fmt.Errorf("%s %s: element %s %w", kind, s.Name, appendTuple(nil, s.Concat, &s.Tuples[i]), err)
		}
	}
	return nil
}

// checkSetType refuses keys that nft has no type for.
func checkSetType(s *plan.Set) error {
	if len(s.Concat) == 0 {
		if s.Type.Width() == 0 || len(s.Tuples) > 0 {
			return fmt.Errorf("unknown key %s", s.Type)
		}
		return nil
	}
	if s.Type != 0 || s.Data != 0 || s.Dynamic || s.RunTime || len(s.Elements) > 0 || len(s.Concat) > len(plan.FieldList{}) {
		return fmt.Errorf("keys of %d fields and of %s at once", len(s.Concat), s.Type)
	}
	for _, t := range s.Concat {
		if t.Width() == 0 || t == plan.TypeNumber {
			return fmt.Errorf("unknown field %s", t)
		}
	}
	return nil
}

func checkTuple(s *plan.Set, e *plan.Tuple) error {
	if width := plan.TupleWidth(s.Concat); len(e.From) != width || len(e.To) != width {
		return fmt.Errorf("has not %d bytes", width)
	}
	if s.Map != (e.Goto != "") || s.Map && !identifier(e.Goto) {
		return fmt.Errorf("leads to chain %q", e.Goto)
	}
	if !quotable(e.Counter) || e.Counter != "" && !s.Counted {
		return fmt.Errorf("counts for %q", e.Counter)
	}
	for i, sp := range e.Spans(s.Concat) {
		if s.Concat[i] == plan.TypeIfname && !quotable(sp.From.Text()) {
			return fmt.Errorf("has an interface name that cannot be quoted for nft")
		}
	}
	return nil
}

func checkChain(c *plan.Chain) error {
	if err := checkObject("chain", c.Name, ""); err != nil {
		return err
	}
	if c.Hook != "" && !(identifier(c.Hook) && identifier(c.Kind)) {
		return fmt.Errorf("chain %s: type %q at hook %q", c.Name, c.Kind, c.Hook)
	}
	for i := range c.Rules {
		if err := checkChainRule(&c.Rules[i]); err != nil {
			return fmt.Errorf("chain %s: rule %d: %w", c.Name, i+1, err)
		}
	}
	return nil
}

func checkChainRule(r *plan.ChainRule) error {
	if !quotable(r.Comment) {
		return fmt.Errorf("comment %q cannot be quoted for nft", r.Comment)
	}
	for i := range r.Matches {
		m := &r.Matches[i]
		switch {
		case m.Field.Type() == 0:
			return fmt.Errorf("unknown %s", fieldName(m.Field))
		case m.Set != "" && !identifier(m.Set):
			return fmt.Errorf("set %q: not a name that nft reads", m.Set)
		case m.Set == "" && m.Field.Type() == plan.TypeIfname && (m.From == plan.Key{} || !quotable(m.From.Text())):
			return fmt.Errorf("interface name %q cannot be quoted for nft", m.From.Text())
		}
	}
	for _, a := range r.Actions {
		if !readable(a) {
			return fmt.Errorf("statement that nft cannot read: %q", appendAction(nil, a))
		}
	}
	return nil
}

// identifier reports whether nft reads s as a name (its grammar: a letter, then letters, digits, /
// \ _ . and -). Its keywords are not known here: the compiler's names have prefixes that none of
// them has.
func identifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || strings.IndexByte("/_.-", c) >= 0)) {
			return false
		}
	}
	return s != ""
}

// quotable reports whether s can stand between an nft string's quotes.
func quotable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == 0x7f {
			return false
		}
	}
	return true
}
