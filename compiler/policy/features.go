package policy

import "slices"

// Feature is a part of the program that a build may lack. pbr version lists them.
type Feature string

const (
	FeatureCheckHTTP Feature = "check-http"
	FeatureMetrics   Feature = "metrics"
	FeatureNotify    Feature = "notify"
	FeatureWeb       Feature = "web"
	FeatureListURL   Feature = "list-url"
)

// Features are all of them.
var Features = []Feature{FeatureCheckHTTP, FeatureListURL, FeatureMetrics, FeatureNotify, FeatureWeb}

// featureTexts say what a policy asks for with each.
var featureTexts = map[Feature]string{
	FeatureCheckHTTP: "checks by http", FeatureMetrics: "metrics", FeatureNotify: "notify", FeatureWeb: "the web page", FeatureListURL: "lists from a URL",
}

// Lack is what a build leaves out.
type Lack struct {
	// Tag is the build tag that does it; empty for a full build.
	Tag      string
	Features []Feature
}

// needs reports that a key, written at pos, asks for what the build lacks. At line 0 nothing asks.
func (s *section) needs(f Feature, pos Pos, key string) {
	lack := s.p.opts.Lack
	if pos.Line == 0 || !slices.Contains(lack.Features, f) {
		return
	}
	s.errorAt(pos, codeNotBuiltIn, key, "use a full build, or leave "+key+" out",
		"this pbr was built with -tags %s, which leaves out %s", lack.Tag, featureTexts[f])
}
