package compiler

import (
	"math/bits"

	"pbr/compiler/plan"
)

// A mark's rule has its priority from the mark: the lowest bits of its number say which leaf of a
// binary tree it is in, and the tree is laid out in order, each node before its two halves. So a
// rule keeps its priority whatever other marks there are, and the tests at the nodes, which are
// rules that only skip, come when there are many marks and deeper ones when there are more. No
// packet that a test lets skip rules would match one of them: with any of the tests missing,
// packets are treated the same, only more slowly.
const (
	// treeLevels is how many bits the tree has: its 31 nodes and 32 leaves fit between priorityTree
	// and priorityTreeEnd.
	treeLevels = 5
	// fewMarks are looked through one by one. Measured: with 32 tables neither a tree nor the one
	// rule that lets unmarked packets pass by makes a packet cheaper, with 200 both do
	// (docs/how/routing.md).
	fewMarks = 32
	// leafMarks is how many marks another test is not worth it for.
	leafMarks = 16
)

// treeOffset is where the subtree of a path of bits, the first one highest, begins: its node, or
// its leaf.
func treeOffset(path uint32, level int) uint32 {
	offset := uint32(priorityTree)
	for l := range level {
		offset++ // the node above
		if path>>(level-1-l)&1 != 0 {
			offset += 1<<(treeLevels-l) - 1 // its first half
		}
	}
	return offset
}

// markOffset is where the rule of a mark is.
func (c *compilation) markOffset(mark uint32) uint32 {
	return treeOffset(extract(mark, c.mask)&(1<<treeLevels-1), treeLevels)
}

// addMarkTree adds the tests for a family that has rules for so many marks.
func (c *compilation) addMarkTree(family plan.Family, marks int) {
	if marks <= fewMarks {
		return
	}
	c.addSkip(family, 0, c.mask, priorityMark, priorityTreeEnd)
	c.addRule(plan.Rule{Family: family, Action: plan.ActNop}, priorityTreeEnd)
	c.addTreeNode(family, 0, 0, min(treeLevels, bits.Len(uint(marks-1)/leafMarks)))
}

// addTreeNode adds the test of the node at the end of a path, and those below it down to levels:
// whose next bit is set skips the first half. Who passed the first half without finding a route
// skips the second.
func (c *compilation) addTreeNode(family plan.Family, path uint32, level, levels int) {
	if level == levels {
		return
	}
	place := treeLevels - 1 - level
	bit := deposit(1<<place, c.mask)
	above := deposit((1<<level-1)<<(place+1), c.mask)
	second := treeOffset(path<<1|1, level+1)
	c.addSkip(family, bit, bit, treeOffset(path, level), second)
	c.addSkip(family, deposit(path<<(place+1), c.mask), above|bit, second, priorityTreeEnd)
	c.addTreeNode(family, path<<1, level+1, levels)
	c.addTreeNode(family, path<<1|1, level+1, levels)
}

// addSkip lets packets whose mark has this value under a mask skip from one offset to another.
func (c *compilation) addSkip(family plan.Family, mark, mask, from, to uint32) {
	c.addRule(plan.Rule{Family: family, Mark: mark, MarkMask: mask, Action: plan.ActGoto, Goto: c.doc.Settings.RulePriority + to}, from)
}
