package main

import (
	"slices"

	"pbr/compiler/policy"
)

// builtIn reports whether this build has a feature; lack says what it omits.
func builtIn(f policy.Feature) bool { return !slices.Contains(lack.Features, f) }

// omitted is what help says of a command that this build leaves out; else it is empty.
func omitted(f policy.Feature) string {
	if builtIn(f) {
		return ""
	}
	return " (not in this build)"
}

// features returns which features, methods of checks included, are built in and which are not.
func features() (in, out []string) {
	names := []string{}
	for _, m := range policy.CheckMethods() {
		names = append(names, "check-"+m)
	}
	for _, f := range policy.Features {
		if f != policy.FeatureCheckHTTP { // is among the methods
			names = append(names, string(f))
		}
	}
	for _, name := range names {
		if builtIn(policy.Feature(name)) {
			in = append(in, name)
		} else {
			out = append(out, name)
		}
	}
	return in, out
}
