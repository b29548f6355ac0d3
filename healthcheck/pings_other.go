//go:build !linux

package healthcheck

import (
	"fmt"
	"net/netip"
	"runtime"
)

// pingSocket sends nothing.
type pingSocket struct {
	cookie  uint32
	request []byte
}

func openPingSocket(pingSocketKey) (*pingSocket, error) {
	return nil, fmt.Errorf("%w: probes cannot be bound to an uplink on %s", ErrNotProbed, runtime.GOOS)
}

func (*pingSocket) interfaceIndex(string) (int, error)         { return 0, ErrNotProbed }
func (*pingSocket) send([]byte, netip.Addr, int, uint32) error { return ErrNotProbed }
func (*pingSocket) receive() (pingKey, error, error)           { return pingKey{}, nil, ErrNotProbed }
func (*pingSocket) close()                                     {}

type pingWaiter struct{}

func openPingWaiter(func()) (*pingWaiter, error) { return &pingWaiter{}, nil }

func (*pingWaiter) watch(*pingSocket, bool) {}
func (*pingWaiter) close()                  {}
