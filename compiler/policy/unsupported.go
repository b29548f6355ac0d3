package policy

import "fmt"

// Unsupported names, as errors, what the file uses and this version of pbr cannot apply yet.
func Unsupported(doc *Document) Diagnostics {
	var ds Diagnostics
	refuse := func(pos Pos, key, hint, format string, args ...any) {
		ds = append(ds, Diagnostic{Pos: pos, Severity: Error, Code: codeUnsupported, Key: key, Hint: hint,
			Message: fmt.Sprintf(format, args...) + " is not supported yet"})
	}
	for _, l := range doc.Lists {
		if len(l.Domains) > 0 {
			refuse(l.Pos, "lists."+l.Name, "write its addresses, or remove it and what uses it", "list %q of domains", l.Name)
		}
	}
	for _, pol := range doc.Policies {
		if len(pol.Schedule) > 0 {
			refuse(pol.Schedule[0].Pos, "policy.schedule", "leave it out", "policy %q: schedule", pol.Name)
		}
	}
	ds.Sort()
	return ds
}
