package render

import (
	_ "embed"
	"fmt"
	"io"
	"strconv"

	"pbr/compiler/plan"
)

// The shell functions of a script; each file is there only when the plan needs it.
var (
	//go:embed script/head.sh
	scriptHead string
	//go:embed script/settings.sh
	scriptSettings string
	//go:embed script/routes.sh
	scriptRoutes string
	//go:embed script/rules.sh
	scriptRules string
	//go:embed script/sources.sh
	scriptSources string
	//go:embed script/connected.sh
	scriptConnected string
	//go:embed script/offload.sh
	scriptOffload string
	//go:embed script/stale.sh
	scriptStale string
)

// Script writes a POSIX shell script that does by sysctl, ip and nft what `pbr apply` does, in its
// order: settings, routes, ip rules, nftables, and at last the routes that an older policy left.
// What depends on the live machine is found out when it runs. It fails as NFT does.
func Script(w io.Writer, p *plan.Plan) error {
	if err := checkRuleset(&p.Ruleset); err != nil {
		return fmt.Errorf("rendering nftables table %s: %w", plan.TableName, err)
	}
	b := appendScriptHead(nil, p)
	b = appendScriptProbe(b, &p.Ruleset)
	b = appendScriptSettings(b, p)
	b = appendScriptRoutes(b, p)
	b = appendScriptRules(b, p)
	b = appendScriptTable(b, p)
	b = appendScriptOffload(b, &p.Ruleset)
	b = appendScriptHeld(b, &p.Ruleset)
	b = append(b, "\n# routes of an older policy\nstale_routes -4\nif ipv6; then\n\tstale_routes -6\nfi\n"...)
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("writing script: %w", err)
	}
	return nil
}

func appendScriptHead(b []byte, p *plan.Plan) []byte {
	b = append(b, scriptHead...)
	add := func(wanted bool, functions string) {
		if wanted {
			b = append(append(b, '\n'), functions...)
		}
	}
	kinds := map[plan.DynamicKind]bool{}
	for _, d := range p.Dynamic {
		kinds[d.Kind] = true
	}
	add(len(p.Sysctls) > 0, scriptSettings)
	add(len(p.Routes) > 0, scriptRoutes)
	add(true, scriptRules)
	add(kinds[plan.SourceRules], scriptSources)
	add(kinds[plan.ConnectedRules], scriptConnected)
	add(lateFlowtables(&p.Ruleset) != nil, scriptOffload)
	add(true, scriptStale)
	if len(p.Deferred)+len(p.Comments) > 0 {
		b = append(b, '\n')
	}
	return appendNotes(b, p)
}

func appendScriptSettings(b []byte, p *plan.Plan) []byte {
	if len(p.Sysctls) == 0 {
		return b
	}
	b = append(b, "\n# kernel settings; pbr flush only restores those that pbr apply changed, so record their present values\n"...)
	for _, s := range p.Sysctls {
		b = append(append(b, "setting "...), shellWord(s.Path)...)
		b = append(append(b, ' '), shellWord(s.Value)...)
		b = append(b, '\n')
	}
	return b
}

func appendScriptRoutes(b []byte, p *plan.Plan) []byte {
	names := tableLabels(p)
	for i := range p.Routes {
		r := &p.Routes[i]
		if i == 0 || r.Table != p.Routes[i-1].Table || r.Family != p.Routes[i-1].Family {
			b = append(b, '\n')
			b = appendComment(b, "", fmt.Sprintf("routes of %s, IPv%d", names.label(r.Table), r.Family))
		}
		if r.Kind == plan.Unicast {
			for j := range r.Hops {
				b = appendScriptHop(b, r, &r.Hops[j])
			}
		}
		b = appendScriptRoute(b, r)
	}
	return b
}

func appendScriptRoute(b []byte, r *plan.Route) []byte {
	if r.Kind == plan.Unicast {
		b = appendUint(append(b, "route -"...), r.Family)
	} else {
		b = appendUint(append(b, "special -"...), r.Family)
		b = appendNamed(append(b, ' '), routeKinds, uint8(r.Kind))
	}
	b = appendDst(append(b, ' '), r)
	b = appendUint(append(b, " table "...), r.Table)
	b = appendUint(append(b, " metric "...), r.Metric)
	return append(b, '\n')
}

func appendScriptHop(b []byte, r *plan.Route, h *plan.Hop) []byte {
	b = appendUint(append(b, "hop -"...), r.Family)
	b = append(append(b, ' '), shellWord(h.Dev)...)
	switch {
	case h.Auto:
		b = append(b, " auto"...)
	case !h.Via.IsValid():
		b = append(b, " link"...)
	case r.Family == plan.IPv4 && h.Via.Is6():
		b = append(append(b, " 'inet6 "...), h.Via.String()...)
		b = append(b, '\'')
	default:
		b = h.Via.AppendTo(append(b, ' '))
	}
	b = append(b, " weight "...)
	b = strconv.AppendInt(b, int64(h.Weight), 10)
	if h.Onlink {
		b = append(b, " onlink"...)
	}
	if h.Masquerade {
		b = append(b, " masquerade"...)
	}
	return append(b, '\n')
}

// appendScriptRules adds both families' rules. A family that the policy does not use is emptied
// anyway.
func appendScriptRules(b []byte, p *plan.Plan) []byte {
	names := tableLabels(p)
	for _, f := range plan.Families {
		indent := ""
		b = append(b, '\n')
		b = appendComment(b, "", fmt.Sprintf("ip rules, IPv%d", f))
		if f == plan.IPv6 {
			b, indent = append(b, "if ipv6; then\n"...), "\t"
		}
		b = appendUint(append(append(b, indent...), "no_rules -"...), f)
		b = append(b, '\n')
		comment := ""
		for _, m := range mergedRules(p, f) {
			if c := m.comment(p, names); c != comment && c != "" {
				b, comment = appendComment(b, indent, c), c
			}
			b = appendScriptRule(append(b, indent...), m)
		}
		if f == plan.IPv6 {
			b = append(b, "fi\n"...)
		}
	}
	return b
}

func appendScriptRule(b []byte, m mergedRule) []byte {
	if m.dynamic == nil {
		b = append(appendIP(b, m.rule.Family), "rule add "...)
		return append(appendRule(b, m.rule), '\n')
	}
	d := m.dynamic
	if d.Kind == plan.ConnectedRules {
		b = appendUint(append(b, "connected_rules -"...), d.Family)
	} else {
		b = appendUint(append(b, "source_rules -"...), d.Family)
		b = append(append(b, ' '), shellWord(d.Interface)...)
	}
	b = appendUint(append(b, " priority "...), d.Priority)
	b = appendFwmark(b, d.Mark, d.MarkMask)
	b = appendDynamicLookup(b, d)
	b = appendUint(append(b, " protocol "...), uint8(plan.Protocol))
	return append(b, '\n')
}

// appendScriptTable adds the table. Elements that only a route makes true are taken out of their
// sets again in the same transaction, where the script has set none.
func appendScriptTable(b []byte, p *plan.Plan) []byte {
	b = append(b, "\n# the nftables table, in one transaction\n"...)
	if len(p.Routed) == 0 {
		b = appendNFT(append(b, "nft -f - <<'EOF'\n"...), p)
		return append(b, "EOF\n"...)
	}
	b = appendNFT(append(b, "{\ncat <<'EOF'\n"...), p)
	b = append(b, "EOF\n"...)
	types := map[string]plan.Type{}
	for i := range p.Ruleset.Sets {
		types[p.Ruleset.Sets[i].Name] = p.Ruleset.Sets[i].Type
	}
	for _, r := range p.Routed {
		b = appendUint(append(b, "unless_routed -"...), r.Family)
		b = appendUint(append(b, ' '), r.Table)
		b = append(append(b, ' '), shellWord(r.Set)...)
		b = append(append(b, ' '), shellWord(string(appendInterval(nil, types[r.Set], r.Key, r.Key)))...)
		b = append(b, '\n')
	}
	return append(b, "} | nft -f -\n"...)
}
