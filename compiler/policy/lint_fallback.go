package policy

import "fmt"

// FallsBack warns of each policy that names an uplink and does not say what follows when this
// cannot be used. Earlier releases sent its connections through that uplink and no other.
func FallsBack(doc *Document) Diagnostics {
	var ds Diagnostics
	for i := range doc.Policies {
		pol := &doc.Policies[i]
		if pol.Target.Kind != ToUplink || pol.StrictPos.Line != 0 {
			continue
		}
		ds = append(ds, Diagnostic{
			Pos: pol.Target.Pos, Severity: Warning, Code: codeFallsBack, Key: "policy.uplink",
			Message: fmt.Sprintf("policy %q: while uplink %q cannot be used, its new connections go where default's do",
				pol.Name, pol.Target.Name),
			Hint: "write strict = false if that is meant, or strict = true to make them unreachable instead",
		})
	}
	return ds
}
