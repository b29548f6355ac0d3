package routeros

// What this version of the policy language has.
const (
	// hasBFD: method = "bfd" of a check.
	hasBFD = false
	// hasNAT6: nat6 of an uplink.
	hasNAT6 = false
	// hasRuleMain: table = "main" of a rule.
	hasRuleMain = false
)
