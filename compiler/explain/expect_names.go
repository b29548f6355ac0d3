package explain

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"pbr/compiler/policy"
	"pbr/compiler/walk"
)

// none stands for null.
const none = "none"

// unknown returns assertions that can never hold, such as a misspelt name. Otherwise a typing error
// in a test would look like a failure of the policy.
func (x *Explainer) unknown(e *policy.Expectation) (wrong policy.Diagnostics) {
	for _, key := range wants {
		v, ok := e.Values[key]
		if !ok {
			continue
		}
		of, valid := x.possible(key)
		for _, name := range append(slices.Clone(v.List), nonEmpty(v)...) {
			if slices.Contains(valid, name) || key == wantNAT && isAddress(name) {
				continue
			}
			d := e.Failed(key, fmt.Sprintf("%s: there is no %s %q", key, of, name))
			d.Hint = policy.Suggest(name, valid)
			wrong = append(wrong, d)
		}
	}
	return wrong
}

// nonEmpty is the value of a key that is not a list; an empty one stands for null, as "none" does.
func nonEmpty(v policy.ExpectedValue) []string {
	if v.List != nil || v.Text == "" {
		return nil
	}
	return []string{v.Text}
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// possible are the values that a key may have, and what they are.
func (x *Explainer) possible(key string) (of string, valid []string) {
	defer func() { slices.Sort(valid) }()
	switch key {
	case wantVerdict:
		for f := walk.Forwarded; f <= walk.Discarded; f++ {
			valid = append(valid, f.String())
		}
		return key, valid
	case wantUplink, wantReply:
		return "uplink", append(slices.Collect(maps.Keys(x.uplinks)), none)
	case wantTable:
		return key, append(slices.Collect(maps.Values(x.tables)), none)
	case wantInterface:
		return "interface of an uplink", append(slices.Collect(maps.Keys(x.byInterface)), none)
	case wantBy:
		for _, k := range kinds {
			valid = append(valid, string(k))
		}
		return "kind", valid
	case wantPolicy:
		valid = []string{none}
		for i := range x.doc.Policies {
			valid = append(valid, x.doc.Policies[i].Name)
		}
		return key, valid
	case wantRule:
		valid = []string{none}
		for i := range x.doc.Rules {
			valid = append(valid, x.doc.Rules[i].Name)
		}
		return key, valid
	case wantNAT:
		return "translation", []string{walk.Untranslated.String(), walk.Masqueraded.String(), walk.Static.String()}
	}
	return "value", []string{"true", "false"} // offload
}
