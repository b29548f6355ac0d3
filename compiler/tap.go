package compiler

import (
	"pbr/compiler/ipproto"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

const (
	chainTap = "tap"
	// priorityTap is behind everyone else's filters, so that an answer that a firewall drops
	// teaches nothing.
	priorityTap = 220
	portDNS     = 53
)

// tapHooks are where answers are seen: those of a resolver on the router, of one elsewhere, and of
// what the router's own resolver asks.
var tapHooks = [...]string{"output", "forward", "input"}

// addTap has DNS answers wait, on their way, for pbr watch to learn from them. The chains are base
// chains of their own, because the rest of a chain is skipped behind a queue. Answers are told by
// their connection: those that were asked for at port 53, wherever that was redirected to.
func (c *compilation) addTap() {
	if !policy.HasDomains(c.doc) {
		return
	}
	take, ok := c.tapAction()
	if !ok {
		return
	}
	c.addSet(plan.Set{Name: plan.SetTapAlive, Type: plan.TypeProto, RunTime: true, Comment: "pbr watch reads DNS answers"})
	c.addChain(plan.Chain{Name: chainTap, Rules: []plan.ChainRule{
		rule("while pbr watch shows that it is alive", when(inSet(plan.FieldL4Proto, plan.SetTapAlive)), take),
	}})
	for _, hook := range tapHooks {
		var rules []plan.ChainRule
		for _, proto := range []uint8{ipproto.UDP, ipproto.TCP} {
			answers := append(when(is(plan.FieldCTDirection, plan.KeyFromUint8(directionReply))), askedAtDNS(proto)...)
			if hook == "input" {
				answers = append(answers, seenOnce)
			}
			rules = append(rules, rule("DNS answers", answers, gotoChain(chainTap)))
		}
		c.addChain(plan.Chain{Name: chainTap + "-" + hook, Kind: "filter", Hook: hook, Priority: priorityTap, Rules: rules})
	}
}

// seenOnce omits what the machine tells itself: that was seen at the output hook.
var seenOnce = plan.Match{Field: plan.FieldIIFName, From: plan.KeyFromString("lo"), To: plan.KeyFromString("lo"), Not: true}

// directionReply is a connection's second direction (IP_CT_DIR_REPLY).
const directionReply = 1

func is(field plan.Field, k plan.Key) plan.Match { return plan.Match{Field: field, From: k, To: k} }

// askedAtDNS matches connections to port 53.
func askedAtDNS(proto uint8) []plan.Match {
	return when(is(plan.FieldL4Proto, plan.KeyFromUint8(proto)), is(plan.FieldCTOrigDPort, plan.KeyFromUint16(portDNS)))
}

// tapAction is how answers come to pbr watch; false if they do not.
func (c *compilation) tapAction() (a plan.Action, ok bool) {
	number := uint16(c.doc.Settings.Queue)
	switch c.host.Tap {
	case plan.TapQueue:
		return plan.Queue{Number: number}, true
	case plan.TapTarget:
		return plan.QueueTarget{Number: number}, true
	case plan.TapLog:
		return plan.LogGroup{Group: number}, true
	}
	c.postpone(plan.DeferredTap, c.host.TapReason)
	return nil, false
}

// tapOffload keeps connections to port 53 out of the flowtable, whose packets pass no chain.
func (c *compilation) tapOffload() (rules []plan.ChainRule) {
	if !policy.HasDomains(c.doc) {
		return nil
	}
	for _, proto := range []uint8{ipproto.UDP, ipproto.TCP} {
		rules = append(rules, rule("DNS stays where its answers are seen", askedAtDNS(proto), accept))
	}
	return rules
}
