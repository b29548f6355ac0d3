package main

import (
	"fmt"
	"net/netip"

	"pbr/compiler/policy"
	"pbr/compiler/walk"
	"pbr/kernel/facts"
)

// classifyPriority is the priority of the chains in which policies see packets (mangle,
// linux/netfilter_ipv4.h).
const classifyPriority = -150

// translationsShown bounds what is said of others' rules: more of them say no more.
const translationsShown = 3

// translatedWords returns what says which rules of others translate the destination of a new
// connection; nil without such rules. isUplink reports whether an interface is an uplink's: no
// policy sees what arrives there.
func translatedWords(rules []facts.DestinationNAT, isUplink func(dev string) bool) func(*walk.Packet, bool) []string {
	if len(rules) == 0 {
		return nil
	}
	return func(p *walk.Packet, own bool) (notes []string) {
		hook := "prerouting"
		if p.IIF == "" {
			hook = "output"
		}
		first := facts.FirstPacket{In: p.IIF, Src: p.Src, Dst: p.Dst, Protocol: p.Proto, Port: p.DPort,
			HasPort: policy.HasPorts(p.Proto) && !p.AnyDPort && !p.NoPorts, Own: own}
		for i := range rules {
			r := &rules[i]
			may, certain := r.Meets(&first)
			if may = may && r.Hook.Name == hook; may && len(notes) == translationsShown {
				return append(notes, "and other rules of others may translate this destination, too")
			} else if may {
				seen := !isUplink(p.IIF) && r.Hook.Priority > classifyPriority
				notes = append(notes, translationText(r, p.Dst, certain, seen))
			}
		}
		return notes
	}
}

// translationText says what a rule does to a destination; seen means that policies see the
// destination before that.
func translationText(r *facts.DestinationNAT, dst netip.Addr, certain, seen bool) string {
	translates, to, ask := "translates", "", "the new destination"
	if !certain {
		translates = "may translate"
	}
	switch {
	case r.Redirect:
		to, ask = " to the router itself", "the router's address"
	case r.To.IsValid():
		to, ask = " to "+r.To.String(), r.To.String()
	}
	if r.Port != 0 {
		to += fmt.Sprintf(" port %d", r.Port)
	}
	text := fmt.Sprintf("rule %d of chain %s in table %s (hook %s) %s the destination %s%s: ",
		r.Handle, r.Chain, r.Table, r.Hook.Name, translates, dst, to)
	if seen {
		return text + fmt.Sprintf("policies look at %s, as this answer does; then the route to %s is looked up", dst, ask)
	}
	return text + fmt.Sprintf("this answer is for %s as given: ask for %s", dst, ask)
}
