package policy

import "fmt"

// Unsupported names, as errors, what the file uses and this version of pbr cannot apply yet.
func Unsupported(doc *Document) Diagnostics {
	var ds Diagnostics
	refuse := func(pos Pos, key, hint, format string, args ...any) {
		ds = append(ds, Diagnostic{Pos: pos, Severity: Error, Code: codeUnsupported, Key: key, Hint: hint,
			Message: fmt.Sprintf(format, args...) + " is not supported yet"})
	}
	for _, pol := range doc.Policies {
		if len(pol.Schedule) > 0 {
			refuse(pol.Schedule[0].Pos, "policy.schedule", "leave it out", "policy %q: schedule", pol.Name)
		}
	}
	ds.Sort()
	return ds
}
