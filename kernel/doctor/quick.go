package doctor

import (
	"slices"

	"pbr/compiler/sorting"
	"pbr/kernel/facts"
)

// Quick is the part of Examine that takes no time, without the findings that are OK: an apply
// reports it at once. What keeps the policy from working comes first. Unless watch is set, it does
// not report that pbr watch is not running.
func Quick(s *Subject, f *facts.Facts, watch bool) []Finding {
	if s.Doc == nil {
		return nil
	}
	e := &examination{Subject: s, facts: f}
	e.kernel()
	e.group = groupSettings
	for _, t := range e.tallies() {
		level, _ := e.impact(t.kind)
		if t.bad != nil && (t.kind == "rp_filter" || t.kind == "ip_forward" || t.kind == "src_valid_mark" && level == Fail) {
			e.badSetting(t)
		}
	}
	e.group = groupOthers
	e.ipRules()
	e.group = groupUplinks
	e.strangeGateways()
	for _, d := range absentSelectors(e.Doc, &f.Host) {
		e.add(Warn, d.Code, d.Hint, "%s", d.Message)
	}
	if e.group = groupPBR; watch {
		e.watch()
	}
	out := slices.DeleteFunc(e.out, func(f Finding) bool { return f.Level == OK })
	sorting.Func(out, func(a, b Finding) int { return rank(a.Level) - rank(b.Level) })
	return out
}

func rank(l Level) int {
	if l == Fail {
		return 0
	}
	return 1
}
