//go:build !linux

package own

import "context"

// Keeper keeps nothing on this system.
type Keeper struct{ Failed func(error) }

// Rest has no effect.
func (k *Keeper) Rest(bool) {}

// Run waits for the end.
func (k *Keeper) Run(ctx context.Context) { <-ctx.Done() }
