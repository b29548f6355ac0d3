//go:build !linux

package kernel

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
	"pbr/kernel/conntrack"
	"pbr/kernel/facts"
	"pbr/kernel/nft"
	"pbr/kernel/own"
	"pbr/kernel/route"
	"pbr/kernel/tap/learn"
)

var errLinux = errors.New("policy routing needs Linux")

// Kernel does nothing on this system.
type Kernel struct{}

// Open fails.
func Open(string) (*Kernel, error) { return nil, errLinux }

// RunDir is empty.
func RunDir() string { return "" }

// Close does nothing.
func (k *Kernel) Close() error { return nil }

// Dir is empty.
func (k *Kernel) Dir() string { return "" }

// LockLost reports false.
func (k *Kernel) LockLost() bool { return false }

// Relock fails.
func (k *Kernel) Relock() (others bool, err error) { return false, errLinux }

// DamagedJournal returns nil.
func (k *Kernel) DamagedJournal() error { return nil }

// Lock fails.
func (k *Kernel) Lock(string) (func(), error) { return nil, errLinux }

// HostFacts fails.
func (k *Kernel) HostFacts(plan.Needs) (plan.HostFacts, error) { return plan.HostFacts{}, errLinux }

// MoreHostFacts adds none.
func (k *Kernel) MoreHostFacts(m plan.HostFacts, _ plan.Needs) plan.HostFacts { return m }

// Live fails.
func (k *Kernel) Live(*plan.Plan) (*plan.Plan, error) { return nil, errLinux }

// LiveHeld fails.
func (k *Kernel) LiveHeld(*plan.Plan) (*plan.Plan, *Held, error) { return nil, nil, errLinux }

// HeldNow fails.
func (k *Kernel) HeldNow(Look) (*Held, error) { return nil, errLinux }

// CompareAll does nothing.
func (k *Kernel) CompareAll() {}

// Surroundings fails.
func (k *Kernel) Surroundings(*plan.Plan) (*walk.Facts, error) { return nil, errLinux }

// Survey fails.
func (k *Kernel) Survey() (*facts.Survey, error) { return nil, errLinux }

// DestinationNAT fails.
func (k *Kernel) DestinationNAT() ([]facts.DestinationNAT, error) { return nil, errLinux }

// Dropping fails.
func (k *Kernel) Dropping() ([]facts.DropChain, error) { return nil, errLinux }

// Apply fails.
func (k *Kernel) Apply(context.Context, *plan.Plan) (*Report, error) { return nil, errLinux }

// Flush fails.
func (k *Kernel) Flush(context.Context) (*Report, error) { return nil, errLinux }

// SavePrevious fails.
func (k *Kernel) SavePrevious(*plan.Plan) error { return errLinux }

// HasPrevious reports whether there is a saved state: never.
func (k *Kernel) HasPrevious() bool { return false }

// Restore fails.
func (k *Kernel) Restore(context.Context) (*Report, error) { return nil, errLinux }

// DropPrevious fails.
func (k *Kernel) DropPrevious() error { return errLinux }

// Traffic fails.
func (k *Kernel) Traffic([]string) (map[string]route.Traffic, error) { return nil, errLinux }

// ReadHostFacts works on Linux only.
func ReadHostFacts(plan.Needs) (plan.HostFacts, error) { return plan.HostFacts{}, errLinux }

// LockWait works on Linux only.
func (k *Kernel) LockWait(context.Context, string) (func(), error) { return nil, errLinux }

// Uptime is 0.
func Uptime() time.Duration { return 0 }

// SetPending works on Linux only.
func (k *Kernel) SetPending(*plan.Plan, time.Duration) (*Pending, *os.File, error) {
	return nil, nil, errLinux
}

// Pending works on Linux only.
func (k *Kernel) Pending() (*Pending, error) { return nil, errLinux }

// RenewPending works on Linux only.
func (k *Kernel) RenewPending(time.Duration) (*Pending, error) { return nil, errLinux }

// ClearPending works on Linux only.
func (k *Kernel) ClearPending() error { return errLinux }

// DropPending works on Linux only.
func (k *Kernel) DropPending(*plan.Plan) (bool, error) { return false, errLinux }

// Guard works on Linux only.
func (k *Kernel) Guard() (*os.File, error) { return nil, errLinux }

// NoteFailure works on Linux only.
func (k *Kernel) NoteFailure(error) error { return errLinux }

// NothingBefore works on Linux only.
func (k *Kernel) NothingBefore() (bool, error) { return false, errLinux }

// Revert works on Linux only.
func (k *Kernel) Revert(context.Context) (*Report, error) { return nil, errLinux }

// Stage works on Linux only.
func (k *Kernel) Stage(context.Context, *plan.Plan, func()) error { return errLinux }

// Unstage works on Linux only.
func (k *Kernel) Unstage() error { return errLinux }

// Update works on Linux only.
func (k *Kernel) Update(context.Context, *plan.Plan) (*Report, error) { return nil, errLinux }

// Events works on Linux only.
func (k *Kernel) Events(context.Context) (<-chan Event, error) { return nil, errLinux }

// FlushConnections works on Linux only.
func (k *Kernel) FlushConnections([]conntrack.Flush, []Unmarked) (int, error) { return 0, errLinux }

// Connections works on Linux only.
func (k *Kernel) Connections(uint32) (map[uint32]conntrack.Usage, error) { return nil, errLinux }

// SweepLate works on Linux only.
func (k *Kernel) SweepLate() (int, time.Duration, error) { return 0, 0, errLinux }

// Pin works on Linux only.
func (k *Kernel) Pin([]conntrack.Pin, []UnmarkedPin) (int, error) { return 0, errLinux }

// Members works on Linux only.
func (k *Kernel) Members(*plan.Set) ([]nft.Member, bool, error) { return nil, false, errLinux }

// EditMembers works on Linux only.
func (k *Kernel) EditMembers(_ *plan.Set, _, _ []nft.Member) error { return errLinux }

// SeedMembers works on Linux only.
func (k *Kernel) SeedMembers(nft.Seeds) {}

// RunTimeSetMade is not known.
func (k *Kernel) RunTimeSetMade(string) time.Time { return time.Time{} }

// Clients works on Linux only.
func (k *Kernel) Clients(string) (map[uint32]int, error) { return nil, errLinux }

// Packets works on Linux only.
func (k *Kernel) Packets() (map[string]uint64, error) { return nil, errLinux }

// Facts works on Linux only.
func (k *Kernel) Facts([]string, []uint32) *facts.Facts { return &facts.Facts{} }

// Interrupted reports whether reading was interrupted: nothing is read on this system.
func Interrupted(error) bool { return false }

// Moved reports whether the kernel changed: nothing is sent on this system.
func Moved(error) bool { return false }

// Beside fails.
func (k *Kernel) Beside(plan.Needs) (*facts.Facts, error) { return nil, errLinux }

// Sysctls works on Linux only.
func (k *Kernel) Sysctls([]string) map[string]string { return nil }

// QuickFacts works on Linux only.
func (k *Kernel) QuickFacts(plan.HostFacts, []string, bool) *facts.Facts { return &facts.Facts{} }

// Compare works on Linux only.
func (k *Kernel) Compare(*plan.Plan) (Sync, error) { return NotApplied, errLinux }

// Flows fails.
func (k *Kernel) Flows() ([]conntrack.Flow, error) { return nil, errLinux }

// Flow fails.
func (k *Kernel) Flow(*conntrack.Tuple) (*conntrack.Flow, error) { return nil, errLinux }

// Neighbours fails.
func (k *Kernel) Neighbours() (map[netip.Addr][6]byte, error) { return nil, errLinux }

// RemoveFlows fails.
func (k *Kernel) RemoveFlows([]conntrack.Flow) (int, error) { return 0, errLinux }

// FollowFlows fails.
func (k *Kernel) FollowFlows() (*conntrack.Follower, error) { return nil, errLinux }

// Remembered fails.
func (k *Kernel) Remembered(string) ([]facts.Client, error) { return nil, errLinux }

// Room fails.
func (k *Kernel) Room() error { return errLinux }

// StartTrace fails.
func (k *Kernel) StartTrace(*nft.TraceFilter) (*nft.Tracer, *nft.Live, error) {
	return nil, nil, errLinux
}

// EndTrace fails.
func (k *Kernel) EndTrace() error { return errLinux }

// TapReason works on Linux only.
func (k *Kernel) TapReason() string { return "" }

// Learner works on Linux only.
func (k *Kernel) Learner() (*learn.Learner, error) { return nil, errLinux }

// OwnKeeper fails.
func (k *Kernel) OwnKeeper() (*own.Keeper, error) { return nil, errLinux }
