package render

import "pbr/compiler/plan"

// appendChainRule adds a rule of a chain, without indentation and line end. A rule that is none of
// pbr's can only be described: a comment.
func appendChainRule(b []byte, r *plan.ChainRule) []byte {
	if r.Foreign != "" {
		return appendLine(append(b, "# foreign: "...), r.Foreign)
	}
	start := len(b)
	for i := range r.Matches {
		b = append(appendMatch(b, &r.Matches[i]), ' ')
	}
	for _, a := range r.Actions {
		b = append(appendAction(b, a), ' ')
	}
	if r.Comment != "" {
		b = append(b, "comment "...)
		return appendQuoted(b, r.Comment)
	}
	if len(b) > start {
		b = b[:len(b)-1]
	}
	return b
}
