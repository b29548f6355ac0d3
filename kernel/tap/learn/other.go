//go:build !linux

package learn

import (
	"context"
	"net/netip"
	"time"

	"pbr/kernel/tap/book"
)

// Learner learns on Linux only.
type Learner struct{ Failed func(error) }

// Configure has no effect.
func (l *Learner) Configure(Config, map[string][]book.Member) {}

// Own has no effect.
func (l *Learner) Own(map[netip.Addr]bool) {}

// Members knows none.
func (l *Learner) Members(string, time.Time) ([]book.Member, bool) { return nil, false }

// Taught is nothing.
func (l *Learner) Taught() uint64 { return 0 }

// Answers are none.
func (l *Learner) Answers() Answers { return Answers{} }

// Answer has no effect.
func (l *Learner) Answer([]byte, netip.Addr) {}

// Run waits for the end.
func (l *Learner) Run(ctx context.Context) { <-ctx.Done() }
