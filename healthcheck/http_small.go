//go:build small

package healthcheck

import (
	"context"
	"fmt"
	"time"
)

// certificates are of no use here.
type certificates = any

// http sends nothing: the policy file was refused that asks for it.
func (p *SocketProber) http(context.Context, Config, string) (time.Duration, error) {
	return 0, fmt.Errorf("%w: checks by http are not built in", ErrNotProbed)
}
