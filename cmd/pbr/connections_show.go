package main

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"time"

	"pbr/compiler/explain"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/conntrack"
)

// connectionsResult is the JSON of connections.
type connectionsResult struct {
	Connections []connectionItem `json:"connections"`
	// Flushed is how many of them were deleted, with --flush.
	Flushed *int `json:"flushed,omitempty"`
}

// connectionItem is a connection's JSON.
type connectionItem struct {
	// Event is "new" or "end" with --follow.
	Event  string  `json:"event,omitempty"`
	Family int     `json:"family"`
	Proto  string  `json:"proto"`
	In     *string `json:"in"`
	Src    string  `json:"src"`
	SPort  *uint16 `json:"sport,omitempty"`
	Dst    string  `json:"dst"`
	DPort  *uint16 `json:"dport,omitempty"`
	// Uplink carries it; null: none of the policy's.
	Uplink *string `json:"uplink"`
	// Policy catches a new connection of the same addresses and ports; null: no policy does. By
	// says what decides.
	Policy    *string           `json:"policy"`
	Now       bool              `json:"now"`
	By        *connectionBy     `json:"by"`
	Table     *string           `json:"table"`
	Mark      string            `json:"mark"`
	NAT       connectionAddress `json:"nat"`
	Bytes     *uint64           `json:"bytes,omitempty"`
	Packets   *uint64           `json:"packets,omitempty"`
	Offloaded bool              `json:"offloaded"`
	Started   *time.Time        `json:"started,omitempty"`
}

// connectionBy is what decides about a new connection, as in explain.
type connectionBy struct {
	Kind string  `json:"kind"`
	Name *string `json:"name"`
	Line *int    `json:"line"`
}

// connectionAddress is a connection's translation: the source that the far end sees, and where it
// is sent instead of its destination.
type connectionAddress struct {
	// Kind is "snat", "dnat", "both" or "none".
	Kind    string  `json:"kind"`
	Address string  `json:"address"`
	Port    *uint16 `json:"port,omitempty"`
	To      string  `json:"to"`
	ToPort  *uint16 `json:"to_port,omitempty"`
}

func connectionItems(list []connectionEntry) []connectionItem {
	items := make([]connectionItem, 0, len(list))
	for i := range list {
		items = append(items, list[i].item())
	}
	return items
}

// item is a connection in JSON.
func (e *connectionEntry) item() connectionItem {
	f, w := e.flow, &e.carried
	item := connectionItem{
		Family: int(plan.FamilyOf(f.Orig.Src)), Proto: policy.ProtoName(f.Orig.Proto), In: named(w.In),
		Src: f.Orig.Src.String(), Dst: f.Orig.Dst.String(),
		SPort: portOf(&f.Orig, f.Orig.SPort), DPort: portOf(&f.Orig, f.Orig.DPort), Uplink: named(w.Uplink), Now: e.now,
		Table: named(w.Table), Mark: fmt.Sprintf("0x%x", f.Mark), NAT: e.nat(), Offloaded: f.Offloaded, Started: known(f.Started),
	}
	if f.Counted {
		item.Bytes, item.Packets = &f.Bytes, &f.Packets
	}
	if w.By.Kind == "" {
		return item
	}
	item.By = &connectionBy{Kind: string(w.By.Kind), Name: named(w.By.Name)}
	if w.By.Line > 0 {
		item.By.Line = &w.By.Line
	}
	if w.By.Kind == explain.ByPolicy {
		item.Policy = &w.By.Name
	}
	return item
}

func (e *connectionEntry) nat() connectionAddress {
	o, r := &e.flow.Orig, &e.flow.Reply
	n := connectionAddress{"none", r.Dst.String(), portOf(r, r.DPort), r.Src.String(), portOf(r, r.SPort)}
	source, destination := r.Dst != o.Src || r.DPort != o.SPort, r.Src != o.Dst || r.SPort != o.DPort
	if !o.HasPorts {
		source, destination = r.Dst != o.Src, r.Src != o.Dst
	}
	switch {
	case source && destination:
		n.Kind = "both"
	case source:
		n.Kind = "snat"
	case destination:
		n.Kind = "dnat"
	}
	return n
}

// named is nil for an empty name.
func named(name string) *string {
	if name == "" {
		return nil
	}
	return &name
}

// portOf is nil for a protocol without ports.
func portOf(t *conntrack.Tuple, port uint16) *uint16 {
	if !t.HasPorts {
		return nil
	}
	return &port
}

var connectionHead = []string{"PROTO", "SOURCE", "DESTINATION", "UPLINK", "POLICY", "TABLE", "SEEN AS", "BYTES", "OFFLOADED"}

func writeConnections(w io.Writer, list []connectionEntry) {
	rows := [][]string{connectionHead}
	for i := range list {
		rows = append(rows, list[i].row())
	}
	writeRows(w, rows, func(int, int) string { return "" })
}

// row is a connection for people.
func (e *connectionEntry) row() []string {
	o, r, w := &e.flow.Orig, &e.flow.Reply, &e.carried
	var bytes *uint64
	if e.flow.Counted {
		bytes = &e.flow.Bytes
	}
	seen, offloaded := "-", "no"
	if r.Dst != o.Src || o.HasPorts && r.DPort != o.SPort {
		seen = endText(r.Dst, r, r.DPort)
	}
	if e.flow.Offloaded {
		offloaded = "yes"
	}
	to := endText(o.Dst, o, o.DPort)
	if r.Src != o.Dst || o.HasPorts && r.SPort != o.DPort {
		to += " -> " + endText(r.Src, r, r.SPort)
	}
	return []string{policy.ProtoName(o.Proto), endText(o.Src, o, o.SPort), to, dash(w.Uplink), e.policyText(),
		dash(w.Table), seen, size(bytes), offloaded}
}

// policyText names what decides; anything but a policy is in brackets.
func (e *connectionEntry) policyText() string {
	by := e.carried.By
	text := ""
	switch by.Kind {
	case "":
		return "-"
	case explain.ByPolicy:
		text = by.Name
	case explain.ByRule:
		text = "(rule " + by.Name + ")"
	case explain.ByProbe:
		text = "(probe of " + by.Name + ")"
	default:
		text = "(" + string(by.Kind) + ")"
	}
	if e.now {
		text += " (now)"
	}
	return text
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func endText(a netip.Addr, t *conntrack.Tuple, port uint16) string {
	if !t.HasPorts {
		return a.String()
	}
	if a.Is6() {
		return "[" + a.String() + "]:" + strconv.Itoa(int(port))
	}
	return a.String() + ":" + strconv.Itoa(int(port))
}
