package daemon

import "pbr/compiler/policy"

// OutlineDisabled is an object of the policy file that has no effect.
type OutlineDisabled struct {
	// Kind is "uplink", "table", "default", "balance", "policy" or "rule"; Name is empty for
	// default.
	Kind    string `json:"kind"`
	Name    string `json:"name,omitempty"`
	Line    int    `json:"line"`
	Comment string `json:"comment,omitempty"`
}

func outlineDisabled(doc *policy.Document) []OutlineDisabled {
	list := make([]OutlineDisabled, 0, len(doc.Disabled))
	for _, d := range doc.Disabled {
		list = append(list, OutlineDisabled{d.Kind, d.Name, d.Pos.Line, d.Comment})
	}
	return list
}

// outlineComments are the comments of the policy's objects, by their kind and name.
func outlineComments(doc *policy.Document) map[string]string {
	out := map[string]string{}
	for _, c := range policy.Comments(doc) {
		out[c.Object] = c.Text
	}
	return out
}
