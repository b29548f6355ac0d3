package doctor

import (
	"fmt"
	"slices"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/facts"
)

// The codes of warnings that depend on the machine.
const (
	codeLateSNAT       = "late-snat"
	codeSameAddress    = "same-address"
	codeStrangeGateway = "strange-gateway"
	codeUnnamedGateway = "unnamed-gateway"
	codeRefusedGateway = "refused-gateway"
)

// Live returns the warnings about a policy that depend on the machine.
func Live(doc *policy.Document, f *facts.Facts) (ds policy.Diagnostics) {
	warn := func(pos policy.Pos, code, key, hint, format string, args ...any) {
		ds = append(ds, policy.Diagnostic{Pos: pos, Severity: policy.Warning, Code: code, Key: key, Hint: hint,
			Message: fmt.Sprintf(format, args...)})
	}
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		for _, t := range f.Translations {
			if late(t) && concerns(t, u) {
				warn(u.Pos, codeLateSNAT, "uplink.nat",
					fmt.Sprintf("give its chain a priority below %d, such as srcnat - 20", compiler.PrioritySourceNAT),
					"uplink %q: the snat of %s %s (rule %d) has no effect: pbr translates what leaves "+
						"through %s before it", u.Name, t.Table, t.Chain, t.Handle, u.Interface)
			}
		}
		for j := range i {
			o := &doc.Uplinks[j]
			for _, a := range f.Host.Links[u.Interface].Addrs {
				if slices.Contains(f.Host.Links[o.Interface].Addrs, a) {
					warn(u.Pos, codeSameAddress, "uplink.interface",
						"give one of the modems another network, or select by from = \"local\" and uid in a [[policy]]",
						"uplinks %q and %q have the same address %s: sockets bound to it leave through %q alone", o.Name, u.Name, a, o.Name)
				}
			}
		}
	}
	return append(append(ds, absent(doc, &f.Host)...), gatewayWarnings(doc, &f.Host)...)
}

// late reports whether a translation comes after pbr's.
func late(t facts.Translation) bool {
	return slices.ContainsFunc(t.Hooks, func(h facts.Hook) bool {
		return h.Name == "postrouting" &&
			h.Priority >= compiler.PrioritySourceNAT
	})
}

// concerns reports whether a translation is for what leaves through an uplink that pbr translates.
func concerns(t facts.Translation, u *policy.Uplink) bool {
	if t.OIF != "" && !plan.NamesInterface(t.OIF, u.Interface) {
		return false
	}
	of := plan.TableFamily(t.Table)
	return slices.ContainsFunc(plan.Families[:], func(f plan.Family) bool {
		return (of == 0 || of == f) && u.SourceNAT(f == plan.IPv6).Mode != policy.NATNone
	})
}

// isGatewayCode reports whether a warning is about a gateway.
func isGatewayCode(code string) bool {
	return code == codeStrangeGateway || code == codeUnnamedGateway || code == codeRefusedGateway
}

// live adds the warnings of Live, but for those on uplinks' interfaces and gateways: an examination
// has findings of its own on them.
func (e *examination) live() {
	if e.Doc == nil {
		return
	}
	for _, d := range Live(e.Doc, e.facts) {
		if isGatewayCode(d.Code) || d.Code == codeNoInterface && d.Key == "uplink.interface" {
			continue
		}
		e.add(Warn, d.Code, d.Hint, "%s", d.Message)
	}
}
