package render

import (
	"strings"

	"pbr/compiler/plan"
)

// rulesetView is the nftables table; it is not in the kernel at all when the lists are empty.
type rulesetView struct {
	Family     string          `json:"family"`
	Table      string          `json:"table"`
	Counters   []counterView   `json:"counters"`
	Flowtables []flowtableView `json:"flowtables"`
	Sets       []setView       `json:"sets"`
	Chains     []chainView     `json:"chains"`
	Foreign    []string        `json:"foreign,omitempty"`
}

type counterView struct {
	Name    string `json:"name"`
	Comment string `json:"comment,omitempty"`
}

// flowtableView is a flowtable. With Late, Devices are candidates (a name may end in an asterisk),
// and those that the machine has addresses on come to them, except for Except.
type flowtableView struct {
	Name     string   `json:"name"`
	Priority int32    `json:"priority"`
	Devices  []string `json:"devices"`
	Hardware bool     `json:"hardware,omitempty"`
	Counter  bool     `json:"counter,omitempty"`
	Late     bool     `json:"late,omitempty"`
	Required bool     `json:"required,omitempty"`
	Except   []string `json:"except,omitempty"`
	Foreign  string   `json:"foreign,omitempty"`
}

// setView is a named set, or a map to verdicts when Map is true, or to values of type Data that
// packets fill, at most Size of them, when Dynamic is. A set that is RunTime gets its elements
// while it stands. Type is nft's name of the keys' type, "ipv4_addr . inet_service" for several
// fields.
type setView struct {
	Name     string        `json:"name"`
	Type     string        `json:"type"`
	Interval bool          `json:"interval,omitempty"`
	Map      bool          `json:"map,omitempty"`
	Data     string        `json:"data,omitempty"`
	Dynamic  bool          `json:"dynamic,omitempty"`
	RunTime  bool          `json:"living,omitempty"`
	Counted  bool          `json:"counted,omitempty"`
	Size     uint32        `json:"size,omitempty"`
	Comment  string        `json:"comment,omitempty"`
	Elements []elementView `json:"elements"`
	Foreign  string        `json:"foreign,omitempty"`
}

// elementView is a value, prefix or range as nft writes it (interface names without quotes, a
// wildcard with its asterisk), for each of several fields with " . " between them, and in a map the
// chain that it leads to, for good or to come back from, and what it counts for.
type elementView struct {
	Value string `json:"value"`
	Goto  string `json:"goto,omitempty"`
	Jump  string `json:"jump,omitempty"`
	// Counter is a policy's, as that of a rule.
	Counter string `json:"counter,omitempty"`
}

// chainView is a chain; type, hook and priority are absent on one that others jump to.
type chainView struct {
	Name     string          `json:"name"`
	Type     string          `json:"type,omitempty"`
	Hook     string          `json:"hook,omitempty"`
	Priority *int32          `json:"priority,omitempty"`
	Rules    []chainRuleView `json:"rules"`
	Foreign  string          `json:"foreign,omitempty"`
}

// chainRuleView is a rule: its parts, and Text, the whole rule as nft reads it.
type chainRuleView struct {
	Matches []matchView  `json:"matches"`
	Actions []actionView `json:"actions"`
	Comment string       `json:"comment,omitempty"`
	Text    string       `json:"text,omitempty"`
	Foreign string       `json:"foreign,omitempty"`
}

// matchView compares a field, under Mask if there is one, by "==", "!=", "in" or "not in" (a value
// with a range or a prefix, or "@NAME" of a set), "any" or "none" (of the bits of Mask; no Value).
type matchView struct {
	Field string `json:"field"`
	Mask  string `json:"mask,omitempty"`
	Op    string `json:"op"`
	Value string `json:"value,omitempty"`
}

func viewRuleset(rs *plan.Ruleset) rulesetView {
	return rulesetView{
		Family: "inet", Table: plan.TableName,
		Counters: views(rs.Counters, func(c *plan.Counter) counterView { return counterView{c.Name, c.Comment} }),
		Flowtables: views(rs.Flowtables, func(f *plan.Flowtable) flowtableView {
			return flowtableView{f.Name, f.Priority, append([]string{}, f.Devices...), f.Hardware, f.Counter,
				f.Late, f.Required, f.Except, f.Foreign}
		}),
		Sets:    views(rs.Sets, viewSet),
		Chains:  views(rs.Chains, viewChain),
		Foreign: rs.Foreign,
	}
}

func viewSet(s *plan.Set) setView {
	v := setView{
		Name: s.Name, Type: s.TypeName(), Interval: s.Interval, Map: s.Map, Dynamic: s.Dynamic, RunTime: s.RunTime,
		Counted: s.Counted, Size: s.Size,
		Comment: s.Comment, Foreign: s.Foreign,
		Elements: views(s.Elements, func(e *plan.Element) elementView {
			if e.Jump {
				return elementView{Value: interval(s.Type, e.From, e.To), Jump: e.Goto}
			}
			return elementView{Value: interval(s.Type, e.From, e.To), Goto: e.Goto, Counter: e.Counter}
		}),
	}
	if s.Data != 0 {
		v.Data = s.Data.String()
	}
	if len(s.Concat) > 0 {
		v.Elements = views(s.Tuples, func(e *plan.Tuple) elementView { return viewTuple(s.Concat, e) })
	}
	return v
}

func viewTuple(types []plan.Type, e *plan.Tuple) elementView {
	values := make([]string, len(types))
	for i, sp := range e.Spans(types) {
		values[i] = interval(types[i], sp.From, sp.To)
	}
	return elementView{Value: strings.Join(values, " . "), Goto: e.Goto, Counter: e.Counter}
}

// interval is an element's text without nft's quotes.
func interval(t plan.Type, from, to plan.Key) string {
	if t != plan.TypeIfname {
		return string(appendInterval(nil, t, from, to))
	}
	if from == to {
		return from.Text()
	}
	if prefix, ok := ifnamePrefix(from, to); ok {
		return prefix + "*"
	}
	return from.Text() + "-" + to.Text()
}

func viewChain(c *plan.Chain) chainView {
	v := chainView{Name: c.Name, Type: c.Kind, Hook: c.Hook, Rules: views(c.Rules, viewChainRule), Foreign: c.Foreign}
	if c.Hook != "" {
		v.Priority = &c.Priority
	}
	return v
}

func viewChainRule(r *plan.ChainRule) chainRuleView {
	v := chainRuleView{
		Matches: views(r.Matches, viewMatch),
		Actions: views(r.Actions, func(a *plan.Action) actionView { return viewAction(*a) }), Comment: r.Comment, Foreign: r.Foreign,
	}
	if r.Foreign == "" {
		v.Text = string(appendChainRule(nil, r))
	}
	return v
}

func viewMatch(m *plan.Match) matchView {
	v := matchView{Field: fieldName(m.Field), Op: "=="}
	if m.Mask != 0 {
		v.Mask = mark(m.Mask)
	}
	switch {
	case bitNames(m) != nil && m.Not:
		v.Op = "any"
		return v
	case bitNames(m) != nil:
		v.Op = "none"
		return v
	case m.Set != "":
		v.Op, v.Value = "in", "@"+m.Set
	case m.Wildcard:
		v.Op, v.Value = "in", m.From.Text()+"*"
	default:
		v.Value = interval(m.Field.Type(), m.From, m.To)
		if m.From != m.To {
			v.Op = "in"
		}
	}
	if m.Not {
		v.Op = map[string]string{"==": "!=", "in": "not in"}[v.Op]
	}
	return v
}
