package plan

import "pbr/compiler/limits"

// There is a field for each level.
var _ = [1]struct{}{}[int(FieldCgroup8-FieldCgroup1)+1-limits.CgroupLevels]

// CgroupField is the field that has a socket's control group of a level, from 1 to
// limits.CgroupLevels; the root's is 0.
func CgroupField(level int) Field { return FieldCgroup1 + Field(level-1) }

// CgroupLevel is the level of a field of CgroupField, 0 for any other field.
func (f Field) CgroupLevel() int {
	if f < FieldCgroup1 || f > FieldCgroup8 {
		return 0
	}
	return int(f-FieldCgroup1) + 1
}

// CgroupSource says whose control groups are in a set.
type CgroupSource struct {
	Set string
	// Unit means that Name is a unit of systemd, wherever its control group is; otherwise it is a
	// path from the root of the tree.
	Unit bool
	Name string
}

// CgroupElements are control groups, sorted, as elements of a set.
func CgroupElements(inodes []uint64) (out []Element) {
	for _, n := range inodes {
		k := KeyFromCgroup(n)
		out = append(out, Element{From: k, To: k})
	}
	return out
}
