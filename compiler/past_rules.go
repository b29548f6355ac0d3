package compiler

import (
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// A [[rule]] is for packets that no policy has decided on. Those that a policy leaves to default,
// and the answers of connections that are pinned, carry no table's mark; where rules could catch
// them they carry default's, which no ip rule selects but those for source addresses: they go past
// the policy's rules, and on to main and default.

// passesRules reports whether the policy needs default's mark.
func passesRules(doc *policy.Document) bool {
	return len(doc.Rules) > 0 && (leavesToDefault(doc) || AnswersPassRules(doc))
}

// leavesToDefault reports whether a policy may decide that default has a connection.
func leavesToDefault(doc *policy.Document) bool {
	return slices.ContainsFunc(doc.Policies, func(p policy.Policy) bool {
		fallsBack := p.Target.Kind == policy.ToUplink || p.Target.Kind == policy.ToBalance
		return p.Target.Kind == policy.ToDefault || fallsBack && !p.Strict
	})
}

// AnswersPassRules reports whether rules could take the answers of connections that policies steer.
// An answer meets them by itself where rules come before main's routes to the LANs; by the kernel's
// reverse look-up (fib_validate_source, net/ipv4/fib_frontend.c), which asks for the way of a
// packet without mark from the host inside, where one of them refuses.
func AnswersPassRules(doc *policy.Document) bool {
	if len(doc.Policies) == 0 || len(doc.Rules) == 0 {
		return false
	}
	return doc.Settings.MainFirst != policy.MainFirstSpecific || doc.Settings.ReversePath == policy.ReverseKernel &&
		slices.ContainsFunc(doc.Rules, func(r policy.Rule) bool { return Refuses(doc, &r) })
}

// Refuses reports whether a rule can end a look-up without a route.
func Refuses(doc *policy.Document, r *policy.Rule) bool {
	if r.Action != policy.RuleLookup {
		return true
	}
	switch r.Target.Kind {
	case policy.ToTable:
		t := doc.Table(r.Target.Name)
		return t != nil && t.Strict
	case policy.ToDefault:
		return doc.Default != nil && doc.Default.Strict
	}
	return false
}

// pastRules returns default's mark, 0 if there is none.
func (c *compilation) pastRules() uint32 { return c.numbers.mark(plan.DefaultName) }

// keepsPastRules reports whether connections carry default's mark: those that a policy leaves to
// default and that leave through no uplink, so that they are not pinned. Else only main's specific
// routes lead them there, before any rule.
func (c *compilation) keepsPastRules() bool {
	return c.pastRules() != 0 && leavesToDefault(c.doc) && (c.doc.Default == nil || c.doc.Settings.MainFirst != policy.MainFirstSpecific)
}

// keepPastRules marks the connections of keepsPastRules.
func (c *compilation) keepPastRules() []plan.ChainRule {
	if !c.keepsPastRules() {
		return nil
	}
	return []plan.ChainRule{rule("default by a policy, through no uplink: past the rules", when(
		notInSet(plan.FieldOIFName, setUplinks), markMatch(plan.FieldMark, c.mask, c.pastRules(), false),
		markMatch(plan.FieldCTMark, c.mask, 0, false),
	), plan.SetCTMark{Mask: c.mask, Value: c.pastRules()}, accept)}
}

// answersOfPinned lets the answers of pinned connections past the rules.
func (c *compilation) answersOfPinned() []plan.ChainRule {
	if !AnswersPassRules(c.doc) {
		return nil
	}
	return []plan.ChainRule{rule("answer of a pinned connection: past the rules", when(
		anyBit(plan.FieldCTState, stateEstablished|stateRelated), markMatch(plan.FieldCTMark, c.mask, 0, true),
	), plan.SetMark{Mask: c.mask, Value: c.pastRules()}, accept)}
}

// answersMark returns the mark that answersOfPinned sets, 0 if answers carry none.
func (c *compilation) answersMark() uint32 {
	if !AnswersPassRules(c.doc) {
		return 0
	}
	return c.pastRules()
}
