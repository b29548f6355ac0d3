package routeros

// What this version of the policy language has.
const (
	// hasBFD: method = "bfd" of a check.
	hasBFD = false
	// hasRuleMain: table = "main" of a rule.
	hasRuleMain = false
)
