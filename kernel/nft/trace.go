package nft

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"pbr/compiler/plan"
)

// Chains of pbr trace in pbr's own table: of packets that arrive, of the router's own, and one that
// shows by which interface any of them leaves, since packets under way may meet no other chain
// there. They are there only while it runs.
const (
	TraceChain      = "trace"
	TraceLocalChain = "trace-local"
	traceOutChain   = "trace-out"
)

func isTraceChain(name string) bool {
	return name == TraceChain || name == TraceLocalChain || name == traceOutChain
}

// TraceOwner is the process that traces. Start is when it started, in clock ticks since boot
// (proc_pid_stat(5)), which tells it from a later process of the same number.
type TraceOwner struct {
	PID   int
	Start string
}

// comment is what the rules of its chains carry.
func (o TraceOwner) comment() string {
	return fmt.Sprintf("pbr trace, process %d, started %s", o.PID, o.Start)
}

// readTraceOwner reads a comment.
func readTraceOwner(comment string) (o TraceOwner, ok bool) {
	comment = strings.TrimSpace(comment)
	_, owner, _ := strings.Cut(comment, "process ")
	pid, start, _ := strings.Cut(owner, ", started ")
	number, err := strconv.Atoi(pid)
	o = TraceOwner{number, start}
	return o, err == nil && start != "" && !strings.Contains(start, " ") && o.comment() == comment
}

// TraceFilter selects packets: each list of matches is a rule.
type TraceFilter struct {
	Arriving, Local [][]plan.Match
	// Rate is how many packets a second are traced at most.
	Rate uint32
}

// ErrNoTable means that pbr's table is not there.
var ErrNoTable = errors.New("the policy is not applied: pbr apply")

// TraceType is what a message of the kernel tells of a packet.
type TraceType uint32

// Types (NFT_TRACETYPE_*, linux/netfilter/nf_tables.h).
const (
	TracePolicy TraceType = 1
	TraceReturn TraceType = 2
	TraceRule   TraceType = 3
)

// TraceEvent is a step of a packet.
type TraceEvent struct {
	// ID is the same in all events of a packet, and may be used again afterwards.
	ID           uint32
	Family       uint8
	Table, Chain string
	Type         TraceType
	Handle       uint64
	// Dropped reports whether the packet's way ends here.
	Dropped bool
	// IIF and OIF are interface numbers, 0 for none. They and the headers stand only in the first
	// event of a base chain.
	IIF, OIF           int
	Mark               uint32
	Network, Transport []byte
}

// Ours reports whether the event is of pbr's table.
func (e *TraceEvent) Ours() bool { return e.Family == 1 && e.Table == "pbr" }

// Begins reports whether the packet was just chosen.
func (e *TraceEvent) Begins() bool {
	return e.Ours() && (e.Chain == TraceChain || e.Chain == TraceLocalChain) && e.Type == TraceRule && len(e.Network) > 0
}

// Rule is a rule of the table by the kernel's handle; nil if there is none.
func (l *Live) Rule(chain string, handle uint64) *plan.ChainRule {
	for i := range l.Ruleset.Chains {
		if l.Ruleset.Chains[i].Name != chain || i >= len(l.handles) {
			continue
		}
		for j, h := range l.handles[i] {
			if h == handle {
				return &l.Ruleset.Chains[i].Rules[j]
			}
		}
	}
	return nil
}
