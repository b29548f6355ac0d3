package answer

import (
	"bytes"
	"slices"
)

// Names finds the lists that a name belongs to: those that hold it, or a name that it is below. It
// is read only once it is made.
type Names struct {
	// lists are by name, in lower case and without a closing dot.
	lists map[string][]int
	// labels is how many the longest name has.
	labels int
}

// NewNames indexes the names of lists, which are known by their index. Names are in lower case,
// without a closing dot and "*.".
func NewNames(lists [][]string) *Names {
	n := &Names{lists: map[string][]int{}}
	for list, names := range lists {
		for _, name := range names {
			n.labels = max(n.labels, 1+bytes.Count([]byte(name), []byte(".")))
			if !slices.Contains(n.lists[name], list) {
				n.lists[name] = append(n.lists[name], list)
			}
		}
	}
	return n
}

// Find appends the lists that a name, in lower case and without a closing dot, belongs to. It takes
// as many look-ups as the longest name of all lists has labels, however many names there are.
func (n *Names) Find(to []int, name []byte) []int {
	start := len(name)
	for range n.labels {
		if start <= 0 {
			break
		}
		start = bytes.LastIndexByte(name[:start], '.')
		for _, list := range n.lists[string(name[start+1:])] {
			if !slices.Contains(to, list) {
				to = append(to, list)
			}
		}
	}
	return to
}

// Empty reports whether there is no name.
func (n *Names) Empty() bool { return len(n.lists) == 0 }
