package walk

import (
	"net/netip"

	"pbr/compiler/plan"
)

// Fate is what happens to a packet in the end.
type Fate uint8

const (
	Forwarded   Fate = iota + 1 // it leaves through an interface
	Delivered                   // it is for the router itself
	Unreachable                 // its sender is told that there is no way
	Prohibited                  // its sender is told that it may not
	Discarded                   // nobody is told
)

func (f Fate) String() string {
	return [...]string{"", "forward", "local", "unreachable", "prohibit", "drop"}[f]
}

// NAT is what happens to a packet's source address.
type NAT uint8

const (
	Untranslated NAT = iota
	Masqueraded
	Static
)

func (n NAT) String() string { return [...]string{"none", "masquerade", "snat"}[n] }

// Way is the way that a packet takes.
type Way struct {
	Fate Fate
	// In is the chain that gave the verdict where the packet arrived or was sent, or that dropped
	// it; empty if none did.
	In string
	// Dev and Via are the interface and the gateway that it leaves through. Dev is empty by main,
	// if that is not known.
	Dev string
	Via netip.Addr
	// Sender is its source address before translation, Src that on the wire; invalid if not known.
	Sender, Src netip.Addr
	NAT         NAT
	// Mark is the packet's when it was routed, CTMark the connection's at the end of its way.
	Mark, CTMark uint32
	// Rule is the ip rule that decided, nil if none did; Route that of the rule's table, nil for a
	// rule that refuses and where main is not known.
	Rule  *plan.Rule
	Route *plan.Route
	// Counters are the names of those that counted it.
	Counters []string
	// Unknown are the run-time sets that it was looked up in, whose members are not known: it
	// counts as none of them.
	Unknown []string
	// Offloaded reports whether the rest of the connection goes past all this.
	Offloaded bool
}

// take notes the result of a look-up.
func (w *Way) take(to found) {
	w.Rule, w.Route = to.rule, to.route
	switch {
	case to.refused == plan.Prohibit:
		w.Fate = Prohibited
	case to.refused == plan.Blackhole:
		w.Fate = Discarded
	case to.refused != 0:
		w.Fate = Unreachable
	case to.kind != kindUnicast:
		w.Fate = Delivered
	default:
		w.Fate = Forwarded
	}
	if w.Fate != Forwarded {
		w.leave(plan.Hop{})
	}
}

func (w *Way) leave(h plan.Hop) { w.Dev, w.Via = h.Dev, h.Via }

// same reports whether two ways cannot be told apart from outside, or by what they leave behind.
func (w *Way) same(o *Way) bool {
	return w.Fate == o.Fate && w.Dev == o.Dev && w.Via == o.Via && w.Src == o.Src && w.Mark == o.Mark &&
		w.CTMark == o.CTMark && w.In == o.In
}
