package policy

// The codes of diagnostics. They are stable: scripts may filter by them. docs/policy.md explains
// each.
const (
	// Errors.
	codeSyntax         = "syntax"
	codeReadFile       = "read-file"
	codeUnknownKey     = "unknown-key"
	codeWrongType      = "wrong-type"
	codeDuplicateKey   = "duplicate-key"
	codeMissingKey     = "missing-key"
	codeBadValue       = "bad-value"
	codeBadName        = "bad-name"
	codeDuplicateName  = "duplicate-name"
	codeUnknownName    = "unknown-name"
	codeHostBits       = "host-bits"
	codeConflict       = "conflict"
	codeInterface      = "interface-twice"
	codeRoute          = "duplicate-route"
	codeNumber         = "duplicate-number"
	CodeMask           = "mask-too-small"
	codeForeignBits    = "mark-outside-mask"
	codeListCycle      = "list-cycle"
	codeNegation       = "no-negation"
	codeImpossible     = "impossible-match"
	codeUnknownUser    = "unknown-user"
	codeDisabledTarget = "disabled-target"
	codeNotBuiltIn     = "not-built-in"

	// Errors that the compiler finds.
	CodeTooManyRules = "too-many-rules"
	CodeRuleTooWide  = "rule-too-wide"
	CodeKernelTooOld = "kernel-too-old"
	CodeOwnGateway   = "own-gateway"
	CodeNoOffload    = "no-offload"

	// An assertion that does not hold (pbr check --expect).
	CodeExpectation = "expectation"

	// Warnings.
	codeEmptyList       = "empty-list"
	codeCovered         = "covered-policy"
	codeSameMatch       = "same-match"
	codeFromUplink      = "from-uplink"
	codeDeadEntry       = "dead-entry"
	codeNoUplink        = "no-uplink"
	codeNoNAT           = "no-nat"
	codeOneFamily       = "one-family"
	codeStrictOneFamily = "strict-one-family"
	codeRuleNAT         = "rule-nat"
	codeGatewayCheck    = "gateway-check"
	codeHookName        = "hook-name"
	codeOverlap         = "overlapping-lists"
	codeForeignMask     = "foreign-mask"
	codeReversePath     = "kernel-reverse-path"
	codeUnusedList      = "unused-list"
	codeUnusedSchedule  = "unused-schedule"
	codeUnusedTable     = "unused-table"
	codeUnusedUplink    = "unused-uplink"
	codeUnusedBalance   = "unused-balance"
	codeOneMember       = "one-member"
	codeNarrowHash      = "narrow-hash"
	codeFallsBack       = "uplink-falls-back"
	codeQuorum          = "quorum-per-version"
	codeSharedTargets   = "shared-targets"
	codeLeftOut         = "left-out"
	codeWebClear        = "web-clear"
)
