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
	// FeatureZones is a database of time zones for machines that have none.
	FeatureZones Feature = "zones"
	// FeatureGraph and FeatureImportRouterOS are commands, which no policy asks for.
	FeatureGraph          Feature = "graph"
	FeatureImportRouterOS Feature = "import-routeros"
)

// Features are all of them.
var Features = []Feature{
	FeatureCheckHTTP, FeatureGraph, FeatureImportRouterOS, FeatureListURL, FeatureMetrics, FeatureNotify, FeatureWeb, FeatureZones,
}

// featureTexts say what a policy asks for with each.
var featureTexts = map[Feature]string{
	FeatureCheckHTTP: "checks by http", FeatureMetrics: "metrics", FeatureNotify: "notify", FeatureWeb: "the web page",
	FeatureListURL: "lists from a URL",
	FeatureZones:   "the database of time zones",
}

// featureInstead says what a policy can ask for instead of each.
var featureInstead = map[Feature]string{
	FeatureCheckHTTP: `write method = "tcp" or "dns"`,
	FeatureMetrics:   "leave metrics out, and read pbr status --json",
	FeatureNotify:    "write [watch] hook, a program that gets the same events",
	FeatureWeb:       "leave web out, and use pbr status --watch",
	FeatureListURL:   `write { file = "..." }, and have cron fetch the file`,
}

// Lack is what a build leaves out.
type Lack struct {
	// Tag is the build tag that does it; empty for a full build.
	Tag      string
	Features []Feature
}

// has reports whether the build has a feature.
func (l Lack) has(f Feature) bool { return !slices.Contains(l.Features, f) }

// needs reports that a key, written at pos, asks for what the build lacks. At line 0 nothing asks.
func (s *section) needs(f Feature, pos Pos, key string) {
	lack := s.p.opts.Lack
	if pos.Line == 0 || lack.has(f) {
		return
	}
	s.errorAt(pos, codeNotBuiltIn, key, featureInstead[f]+", or use a full build",
		"this pbr was built with -tags %s, which leaves out %s", lack.Tag, featureTexts[f])
}
