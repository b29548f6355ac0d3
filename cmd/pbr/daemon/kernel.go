package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"time"

	"pbr/compiler/plan"
	"pbr/healthcheck"
	"pbr/healthcheck/quota"
)

// Kernel is the kernel that a Watcher reads and changes. Only the loop calls it.
type Kernel interface {
	HostFacts(plan.Needs) (plan.HostFacts, error)
	// Apply makes the kernel hold the plan, starting from what it really holds.
	Apply(ctx context.Context, want *plan.Plan) (Outcome, error)
	// CompareAll has the next Apply compare everything, whatever is known from before.
	CompareAll()
	// Update does so starting from what the last Apply or Update left: it is quick, and does not
	// see others' changes.
	Update(ctx context.Context, want *plan.Plan) (Outcome, error)
	// Stage prepares the slow part of an Apply of the plan. Meanwhile it calls between repeatedly,
	// which may call Update. Unstage removes what no Apply has used.
	Stage(ctx context.Context, want *plan.Plan, between func()) error
	Unstage() error
	// FlushConnections deletes connections and returns how many.
	FlushConnections(flushes []Flush) (int, error)
	// SweepLate deletes connections that late answers to deleted ones have begun since the last
	// Apply. It returns how many, and when to look again; 0 for never.
	SweepLate() (n int, again time.Duration, err error)
	// Pin gives unmarked connections a mark and returns how many.
	Pin(pins []Pin) (int, error)
	// Room returns why no change could be recorded now; nil if it could.
	Room() error
	// Traffic returns the byte counts of interfaces; those that do not exist are omitted.
	Traffic(interfaces []string) (map[string]quota.Reading, error)
}

// Outcome is what was done to the kernel.
type Outcome struct {
	// Changed has a line for people for each kind of change; none if nothing had to be done.
	Changed []string
	// Changes has the same for programs, one for each object.
	Changes []json.RawMessage
	// Warnings are failures that do not make the result wrong.
	Warnings []string
	// Lost is what hosts behind this machine lose by it, and the commands that bring it back.
	Lost []string
}

// add appends what was done after it.
func (o *Outcome) add(next Outcome) {
	o.Changed = append(o.Changed, next.Changed...)
	o.Changes = append(o.Changes, next.Changes...)
	o.Warnings = append(o.Warnings, next.Warnings...)
	o.Lost = append(o.Lost, next.Lost...)
}

// Flush selects connections of one family to delete: those with any of Marks under Mask, and those
// without a mark whose address on the uplink's side is one of Addrs.
type Flush struct {
	Family plan.Family
	Marks  []uint32
	Mask   uint32
	Addrs  []netip.Addr
	// AddrMarks are the marks of the connections selected by Addrs; if empty, unmarked ones.
	AddrMarks []uint32
	// Left is not nil if default has left its primary uplink: connections without a mark, whatever
	// their addresses, whose packets no longer use it.
	Left *Unmarked
}

// Unmarked selects connections of default's primary uplink that have no mark by the route of their
// packets.
type Unmarked struct {
	Family plan.Family
	// Table is the number of default's table, Interface that of the uplink.
	Table     uint32
	Interface string
	// Strict means that default is.
	Strict bool
}

// Pin selects unmarked connections whose address on the uplink's side is one of Addrs, and the mark
// to give them.
type Pin struct {
	Mark, Mask uint32
	Addrs      []netip.Addr
	// Leaving are connections of any address that default is about to take along.
	Leaving []Unmarked
}

// Monitor checks uplinks; *healthcheck.Monitor is one.
type Monitor interface {
	Set(configs []healthcheck.Config, initial map[healthcheck.UplinkVersion]healthcheck.Status)
	Link(uv healthcheck.UplinkVersion, l healthcheck.LinkState)
	Force(uplink, mode string) error
	Quota(uplink string, q healthcheck.Quota)
	Events() <-chan healthcheck.Event
	Statuses() []healthcheck.Status
	Run(ctx context.Context) error
}

// KernelEventKind is the kind of a KernelEvent.
type KernelEventKind uint8

const (
	// HostChanged: links, addresses, or main's routes changed.
	HostChanged KernelEventKind = iota + 1
	// Drift: somebody else changed something of ours.
	Drift
	// Overrun: events were lost, anything may have changed.
	Overrun
)

// KernelEvent is an event from the kernel.
type KernelEvent struct {
	Kind KernelEventKind
	// What was changed, and Who did it ("nft, process 123"); either may be empty.
	What, Who string
	// Objects are the objects of a Drift; an object always has the same name.
	Objects []string
	// TableGone means that the nftables table was deleted.
	TableGone bool
}

// ErrInterrupted is wrapped by a Kernel's errors that only mean that others changed what was being
// read or changed.
var ErrInterrupted = errors.New("others keep changing it")

// ErrMoved is wrapped by a Kernel's errors that may come from a change of the host since it was
// read, such as a link that went down.
var ErrMoved = errors.New("the machine changed")

// ErrUnfit is wrapped by errors that come from the policy itself: no other try can bring it into
// force.
var ErrUnfit = errors.New("the policy cannot come into force")

// transient reports whether an error may be gone at the next try.
func transient(err error) bool { return errors.Is(err, ErrInterrupted) || errors.Is(err, ErrMoved) }

// ErrNoRoom is wrapped by a Kernel's errors that mean that it could not record what a plan needs,
// and so changed nothing.
var ErrNoRoom = errors.New("pbr's journal cannot be written")
