package from

import (
	"fmt"
	"strings"
)

// Names gives out names that a policy file allows, each once.
type Names struct {
	taken map[string]bool
	// valid makes a name of any text.
	valid func(string) string
	// longest is how many bytes a name may have.
	longest int
	// next is the number that comes after a name that was asked for before.
	next map[string]int
}

// nameSize is the most bytes of an object's name, ifaceSize of an interface's (IFNAMSIZ less the
// final zero, linux/if.h).
const (
	nameSize  = 32
	ifaceSize = 15
)

// NewNames gives out names of objects. The reserved ones are those of docs/policy.md.
func NewNames() *Names {
	n := &Names{taken: map[string]bool{}, next: map[string]int{}, valid: objectName, longest: nameSize}
	for _, reserved := range []string{"default", "main", "local", "unspec", "off"} {
		n.taken[reserved] = true
	}
	return n
}

// NewInterfaces gives out names of interfaces.
func NewInterfaces() *Names {
	n := &Names{taken: map[string]bool{}, next: map[string]int{}, valid: interfaceName, longest: ifaceSize}
	for _, reserved := range []string{"local", "lo", "all", "default"} {
		n.taken[reserved] = true
	}
	return n
}

// Give returns a name that looks like want and was not given before.
func (n *Names) Give(want string) string {
	base := n.valid(want)
	name := base
	for n.taken[name] {
		n.next[base] = max(n.next[base]+1, 2)
		suffix := fmt.Sprintf("-%d", n.next[base])
		name = base[:min(len(base), n.longest-len(suffix))] + suffix
	}
	n.taken[name] = true
	return name
}

func objectName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.', r == '-':
			return r
		}
		return '-'
	}, s)
	s = strings.TrimLeft(s, "-_.")
	s = strings.TrimRight(s[:min(len(s), nameSize)], "-")
	if s == "" {
		return "unnamed"
	}
	return s
}

// interfaceName omits what the kernel, nft or a policy's from cannot have in a name.
func interfaceName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`/:"\*!@,`, r) {
			return '-'
		}
		return r
	}, s)
	s = s[:min(len(s), ifaceSize)]
	if s == "" || s == "." || s == ".." {
		return "unnamed"
	}
	return s
}
