//go:build !linux

package nft

import (
	"errors"

	"pbr/compiler/plan"
)

// errNoLinux is the answer to everything on other systems.
var errNoLinux = errors.New("nftables exists on Linux only")

// Conn is a connection to nftables, which only Linux has.
type Conn struct {
	// Ledger has no effect.
	Ledger *Ledger
	// Seeds has no effect.
	Seeds Seeds
}

// Open always fails.
func Open() (*Conn, error) { return nil, errNoLinux }

// Close does nothing.
func (c *Conn) Close() error { return nil }

// Generation always fails.
func (c *Conn) Generation() (uint32, error) { return 0, errNoLinux }

// Read always fails.
func (c *Conn) Read(*plan.Ruleset) (*Live, error) { return nil, errNoLinux }

// Outline always fails.
func (c *Conn) Outline() (*plan.Ruleset, error) { return nil, errNoLinux }

// Load never succeeds.
func (c *Conn) Load([]byte, *plan.Ruleset) (*Live, bool) { return nil, false }

// Unchanged reports whether nothing changed, which is never known.
func (c *Conn) Unchanged(*Live) bool { return false }

// Ledger knows nothing.
type Ledger struct{}

// Apply always fails.
func (c *Conn) Apply(*Live, *plan.Ruleset, *plan.Changes) (*Live, error) { return nil, errNoLinux }

// Members always fails.
func (c *Conn) Members(*plan.Set) ([]Member, error) { return nil, errNoLinux }

// EditMembers always fails.
func (c *Conn) EditMembers(_ *plan.Set, _, _ []Member) error { return errNoLinux }

// Delete always fails.
func (c *Conn) Delete() error { return errNoLinux }
