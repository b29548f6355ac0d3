package render

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// IP writes p's routes, then its ip rules, as commands of iproute2, one a line, runnable by a shell
// line by line and again: routes replace their like, rules are first removed by their protocol.
// What only a live machine can tell, and what is deferred, is said in comments. It fails only when
// writing to w does.
func IP(w io.Writer, p *plan.Plan) error {
	b := appendNotes(nil, p)
	names := tableLabels(p)
	for i := range p.Routes {
		r := &p.Routes[i]
		if i == 0 || r.Table != p.Routes[i-1].Table || r.Family != p.Routes[i-1].Family {
			b = appendComment(b, "", names.label(r.Table))
		}
		b = appendRouteCommand(b, r)
	}
	for _, f := range plan.Families {
		b = appendRuleCommands(b, p, f, names)
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("writing ip commands: %w", err)
	}
	return nil
}

// appendNotes adds what the policy file says of its objects, and what is deferred.
func appendNotes(b []byte, p *plan.Plan) []byte {
	return appendDeferred(appendPolicyComments(b, p), p)
}

func appendPolicyComments(b []byte, p *plan.Plan) []byte {
	for _, c := range p.Comments {
		b = appendComment(b, "", c.Object+": "+c.Text)
	}
	return b
}

func appendDeferred(b []byte, p *plan.Plan) []byte {
	first, more := FirstDeferred(p.Deferred)
	for _, x := range first {
		b = appendComment(b, "", "deferred: "+x.Object+": "+x.Reason)
	}
	if more > 0 {
		b = appendComment(b, "", fmt.Sprintf("deferred: %d more; pbr diff --json lists all of them", more))
	}
	return b
}

// shownDeferred is how many deferred parts a person is shown.
const shownDeferred = 10

// FirstDeferred returns those that a person is shown, and how many more there are.
func FirstDeferred(deferred []plan.Deferred) (first []plan.Deferred, more int) {
	n := min(len(deferred), shownDeferred)
	return deferred[:n], len(deferred) - n
}

func appendRouteCommand(b []byte, r *plan.Route) []byte {
	if auto := autoDevices(r); auto != nil {
		b = appendComment(b, "", "pbr apply uses main's gateway for "+strings.Join(auto, ", ")+" instead of GATEWAY:")
		b = append(b, "# "...)
	}
	b = append(appendIP(b, r.Family), "route replace "...)
	return append(appendRoute(b, r), '\n')
}

func appendRuleCommands(b []byte, p *plan.Plan, f plan.Family, names labels) []byte {
	rules := mergedRules(p, f)
	if len(rules) > 0 {
		b = appendComment(b, "", fmt.Sprintf("ip rules of IPv%d", f))
		b = appendRuleFlush(b, f, len(rules))
	}
	comment := ""
	for _, r := range rules {
		if c := r.comment(p, names); c != comment && c != "" {
			b, comment = appendComment(b, "", c), c
		}
		if r.dynamic != nil {
			b = append(appendIP(append(b, "# "...), f), "rule add "...)
			b = append(appendDynamic(b, r.dynamic), '\n')
			continue
		}
		b = append(appendIP(b, f), "rule add "...)
		b = append(appendRule(b, r.rule), '\n')
	}
	return b
}

// flushBatch is how many rules a dump of the kernel holds at least. "ip rule flush" deletes while
// it reads, and so skips as many rules as it has deleted with each further batch: it leaves up to a
// half.
const flushBatch = 100

// appendRuleFlush adds the commands that remove the rules of pbr and no others, as many as an
// earlier run of n rules needs; they succeed when there are none.
func appendRuleFlush(b []byte, f plan.Family, n int) []byte {
	for ; ; n /= 2 {
		b = append(appendIP(b, f), "rule flush protocol "...)
		b = append(appendUint(b, uint8(plan.Protocol)), '\n')
		if n < flushBatch {
			return b
		}
	}
}

// mergedRule is a rule of the plan, or rules that depend on the live machine.
type mergedRule struct {
	rule    *plan.Rule
	dynamic *plan.Dynamic
}

// mergedRules returns the rules of a family, known ones and dynamic ones, by priority.
func mergedRules(p *plan.Plan, f plan.Family) []mergedRule {
	var rules []mergedRule
	for i := range p.Rules {
		if p.Rules[i].Family == f {
			rules = append(rules, mergedRule{rule: &p.Rules[i]})
		}
	}
	for i := range p.Dynamic {
		if p.Dynamic[i].Family == f {
			rules = append(rules, mergedRule{dynamic: &p.Dynamic[i]})
		}
	}
	sorting.Func(rules, func(a, b mergedRule) int { return cmp.Compare(a.priority(), b.priority()) })
	return rules
}

func (m mergedRule) priority() uint32 {
	if m.rule != nil {
		return m.rule.Priority
	}
	return m.dynamic.Priority
}

// comment says what a rule is for, as far as the plan tells.
func (m mergedRule) comment(p *plan.Plan, names labels) string {
	switch {
	case m.dynamic == nil:
		return ruleComment(m.rule, p, names)
	case m.dynamic.Kind == plan.ConnectedRules:
		return "one for each directly connected network of main:"
	}
	return fmt.Sprintf("one for each IPv%d address of %s (uplink %s):", m.dynamic.Family, m.dynamic.Interface, m.dynamic.Uplink)
}

func ruleComment(r *plan.Rule, p *plan.Plan, names labels) string {
	switch r.Action {
	case plan.ActLookup:
	case plan.ActGoto:
		return "past rules for other marks"
	case plan.ActNop:
		return "rules for marks end here"
	default:
		return ""
	}
	if r.Table == plan.MainTable && r.SuppressPrefix > 0 {
		return fmt.Sprintf("main's routes longer than /%d", r.SuppressPrefix-1)
	}
	label := names.label(r.Table)
	if label != "" && p.SelectsNumber(*r) {
		return label + ", marked packets"
	}
	return label
}

// labels name routing tables for comments.
type labels map[uint32]string

func tableLabels(p *plan.Plan) labels {
	l := make(labels, len(p.Numbers))
	for _, n := range p.Numbers {
		l[n.Table] = n.Name
	}
	return l
}

func (l labels) label(table uint32) string {
	if s, ok := l[table]; ok {
		return "table " + s
	}
	return fmt.Sprintf("table %s", appendTable(nil, table))
}
