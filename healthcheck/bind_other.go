//go:build !linux

package healthcheck

import (
	"fmt"
	"runtime"
	"syscall"
)

func bound(c Config) func(network, address string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) error { return bindTo(raw, c) }
}

func bindTo(syscall.RawConn, Config) error {
	return fmt.Errorf("%w: probes cannot be bound to an uplink on %s", ErrNotProbed, runtime.GOOS)
}

func boundTo(syscall.RawConn, string) bool { return false }
