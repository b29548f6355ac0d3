//go:build !linux

package healthcheck

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
)

func openBFD(context.Context, Config, netip.Addr) (bfdConn, error) {
	return nil, fmt.Errorf("%w: no BFD on %s", ErrNotProbed, runtime.GOOS)
}
