// Package lazy makes values when they are first asked for. Most commands use few of the program's
// tables, and what is made at start is paid for by each of them.
package lazy

import "sync"

// Value is what Make returns, made once. As a variable of a package it costs nothing at start:
//
//	var ports = lazy.Value[map[string]int]{Make: func() map[string]int { return map[string]int{"ssh": 22} }}
type Value[T any] struct {
	Make  func() T
	once  sync.Once
	value T
}

// Get returns the value. It may be called by several goroutines at a time.
func (v *Value[T]) Get() T {
	v.once.Do(func() { v.value = v.Make() })
	return v.value
}
