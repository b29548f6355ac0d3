// Package limits has the numbers that the policy language, plans and the kernel's side share,
// although they know nothing of each other.
package limits

const (
	// CgroupLevels is how far below the root a control group can be that a match names.
	CgroupLevels = 8
	// UnitLevels is how far below the root units of systemd are looked for: system services are at
	// 2, instances of a template at 3, services of a user's own manager at 5.
	UnitLevels = 5
)
