//go:build !linux

package main

// shedStart does nothing.
func shedStart() {}
