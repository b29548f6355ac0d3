//go:build !linux

package applied

// FileMark is of no use on other systems.
type FileMark struct{ Name string }

// MarkOf returns the name alone.
func MarkOf(name string) FileMark { return FileMark{name} }
