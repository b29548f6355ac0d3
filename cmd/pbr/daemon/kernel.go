package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"

	"pbr/compiler/plan"
	"pbr/healthcheck"
	"pbr/healthcheck/quota"
)

// Kernel is what a Watcher reads and changes. The loop alone calls it.
type Kernel interface {
	HostFacts(plan.Needs) (plan.Machine, error)
	// Apply makes the kernel hold the plan, from what it really holds.
	Apply(ctx context.Context, want *plan.Plan) (Outcome, error)
	// CompareAll has the next Apply compare everything, whatever is known from before.
	CompareAll()
	// Update does so from what the last Apply or Update left: quick, and blind to what others did
	// since.
	Update(ctx context.Context, want *plan.Plan) (Outcome, error)
	// Stage prepares what takes long in an Apply of the plan, and calls between, which may call
	// Update, again and again meanwhile. Unstage removes what no Apply has taken over.
	Stage(ctx context.Context, want *plan.Plan, between func()) error
	Unstage() error
	// FlushConnections deletes connections and returns how many.
	FlushConnections(flushes []Flush) (int, error)
	// Pin gives unmarked connections a mark and returns how many.
	Pin(pins []Pin) (int, error)
	// Room tells why nothing could be noted of another policy now, nil if it could.
	Room() error
	// Traffic returns what interfaces carried since they exist; those that do not exist are
	// missing.
	Traffic(interfaces []string) (map[string]quota.Reading, error)
}

// Outcome is what was done to the kernel.
type Outcome struct {
	// Changed has a line for a person for each kind of thing that differed; none when nothing was
	// to be done.
	Changed []string
	// Changes has the same for programs, an object each.
	Changes []json.RawMessage
	// Warnings are what could not be done and does not make the result wrong.
	Warnings []string
}

// add adds what was done after it.
func (o *Outcome) add(next Outcome) {
	o.Changed = append(o.Changed, next.Changed...)
	o.Changes = append(o.Changes, next.Changes...)
	o.Warnings = append(o.Warnings, next.Warnings...)
}

// FlushConnections names connections of one family to delete: those with any of Marks under Mask, and those
// without a mark whose address on the uplink's side is one of Addrs.
type Flush struct {
	Family plan.Family
	Marks  []uint32
	Mask   uint32
	Addrs  []netip.Addr
	// AddrMarks are the marks of the connections whose address is one of Addrs; none: those without
	// a mark.
	AddrMarks []uint32
}

// Pin names the unmarked connections whose address on the uplink's side is one of Addrs, and the
// mark that they are to have.
type Pin struct {
	Mark, Mask uint32
	Addrs      []netip.Addr
}

// Monitor checks uplinks; *healthcheck.Monitor is one.
type Monitor interface {
	Set(configs []healthcheck.Config, initial map[healthcheck.Line]healthcheck.Status)
	Link(line healthcheck.Line, l healthcheck.LinkState)
	Force(uplink, mode string) error
	Quota(uplink string, q healthcheck.Quota)
	Events() <-chan healthcheck.Event
	Statuses() []healthcheck.Status
	Run(ctx context.Context) error
}

// KernelEventKind tells what happened to the kernel's state.
type KernelEventKind uint8

const (
	// HostChanged: links, addresses, or main's routes.
	HostChanged KernelEventKind = iota + 1
	// Drift: somebody else changed what is ours.
	Drift
	// Overrun: events were lost, anything may have changed.
	Overrun
)

// KernelEvent is news of the kernel.
type KernelEvent struct {
	Kind KernelEventKind
	// What was changed, and Who did it ("nft, process 123"); either may be empty.
	What, Who string
	// Objects are what a Drift is about, each named the same every time.
	Objects []string
	// TableGone means that the nftables table was deleted.
	TableGone bool
}

// ErrInterrupted is for errors of a Kernel that only tell that others changed what was being read
// or changed.
var ErrInterrupted = errors.New("others keep changing it")

// ErrMoved is for errors of a Kernel that a change of the machine may have led to since it was
// read, as a link that went down.
var ErrMoved = errors.New("the machine changed")

// transient reports whether an error may be gone at the next try.
func transient(err error) bool { return errors.Is(err, ErrInterrupted) || errors.Is(err, ErrMoved) }

// ErrNoRoom is for errors of a Kernel that could not note what a plan takes, and so left everything
// as it was.
var ErrNoRoom = errors.New("what pbr takes cannot be noted")
