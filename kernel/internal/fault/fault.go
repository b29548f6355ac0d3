// Package fault lets tests make single messages to the kernel fail.
package fault

import "sync/atomic"

// inject is the test's function, nil for none.
var inject atomic.Pointer[func(what string) error]

// Set makes f decide which messages fail; nil ends that. Only tests call it.
func Set(f func(what string) error) {
	if f == nil {
		inject.Store(nil)
		return
	}
	inject.Store(&f)
}

// At returns the error that a test injects at a point in the code: before a message, or after it,
// when the kernel has carried it out.
func At(what string) error {
	if f := inject.Load(); f != nil {
		return (*f)(what)
	}
	return nil
}
