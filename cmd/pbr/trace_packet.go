package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pbr/compiler"
	"pbr/compiler/explain"
	"pbr/compiler/ipproto"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/walk"
	"pbr/kernel/conntrack"
	"pbr/kernel/nft"
)

// tracedPacket is what was heard of a packet.
type tracedPacket struct {
	tuple conntrack.Tuple
	// echoID is the identifier of an echo request or its answer.
	echoID   uint16
	local    bool
	iif, oif int
	// mark is the packet's last one, policy the policy whose counter counted it.
	mark   uint32
	policy string
	// classified reports whether policies were asked, which is so for first packets.
	classified bool
	dropped    *tracedDrop
	last       time.Time
}

// tracedDrop is the chain that dropped a packet.
type tracedDrop struct {
	Table string `json:"table"`
	Chain string `json:"chain"`
	// Handle is the rule's (nft -a list ruleset); absent where the chain's policy did it.
	Handle uint64 `json:"handle,omitempty"`
}

func (d *tracedDrop) String() string {
	if d.Handle == 0 {
		return fmt.Sprintf("dropped by chain %s of table %s: its policy is drop", d.Chain, d.Table)
	}
	return fmt.Sprintf("dropped by chain %s of table %s, rule with handle %d", d.Chain, d.Table, d.Handle)
}

// nftFamilies are nft's names of families (NFPROTO_*, linux/netfilter.h).
var nftFamilies = map[uint8]string{1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}

// step takes the content of one event.
func (p *tracedPacket) step(e *nft.TraceEvent, t *traceShow) {
	p.last = time.Now()
	if p.iif == 0 && e.IIF != 0 && !p.local {
		p.iif = e.IIF
	}
	if e.OIF != 0 {
		p.oif = e.OIF
	}
	if !p.tuple.Src.IsValid() {
		p.readHeaders(e)
	}
	if e.Mark != 0 {
		p.mark = e.Mark
	}
	if e.Dropped {
		p.dropped = &tracedDrop{nftFamilies[e.Family] + " " + e.Table, e.Chain, e.Handle}
	}
	if !e.Ours() {
		return
	}
	p.classified = p.classified || compiler.Classifies(e.Chain)
	if rule := t.live.Rule(e.Chain, e.Handle); rule != nil && e.Type == nft.TraceRule {
		for _, a := range rule.Actions {
			counter := ""
			switch a := a.(type) {
			case plan.Count:
				counter = a.Counter
			case plan.VMap, plan.ConcatVMap:
				if t.evaluator != nil {
					counter = t.evaluator.CountsFor(rule, p.walked())
				}
			}
			if name := t.view.explainer.PolicyOf(counter); name != "" {
				p.policy, p.classified = name, true
			}
		}
	}
}

// walked is the packet as the evaluator has it.
func (p *tracedPacket) walked() *walk.Packet {
	t := &p.tuple
	w := &walk.Packet{Src: t.Src, Dst: t.Dst, Proto: t.Proto, SPort: t.SPort, DPort: t.DPort, ICMPType: t.ICMPType, NoPorts: !t.HasPorts}
	if !p.local {
		w.IIF = interfaceName(p.iif)
	}
	return w
}

// Lengths of headers, and places in them (RFC 791, RFC 8200).
const (
	ipv4Header, ipv6Header = 20, 40
)

func (p *tracedPacket) readHeaders(e *nft.TraceEvent) {
	h, t := e.Network, &p.tuple
	switch {
	case len(h) >= ipv6Header && h[0]>>4 == 6:
		t.Src, t.Dst, t.Proto = netip.AddrFrom16([16]byte(h[8:24])), netip.AddrFrom16([16]byte(h[24:40])), h[6]
	case len(h) >= ipv4Header && h[0]>>4 == 4:
		t.Src, t.Dst, t.Proto = netip.AddrFrom4([4]byte(h[12:16])), netip.AddrFrom4([4]byte(h[16:20])), h[9]
	default:
		return
	}
	switch {
	case ipproto.IsICMP(t.Proto) && len(e.Transport) > 0:
		t.ICMPType = e.Transport[0]
		p.echoID = echoID(e.Transport)
	case policy.HasPorts(t.Proto) && len(e.Transport) >= 4:
		t.SPort, t.DPort, t.HasPorts = binary.BigEndian.Uint16(e.Transport), binary.BigEndian.Uint16(e.Transport[2:]), true
	}
}

// echoID is the identifier of an ICMP message if it is an echo request or an answer to one (RFC
// 792, RFC 4443), which both versions have at the same place; else 0.
func echoID(message []byte) uint16 {
	if len(message) < 6 || !slices.Contains([]byte{0, 8, 128, 129}, message[0]) {
		return 0
	}
	return binary.BigEndian.Uint16(message[4:])
}

// tracedItem is a traced packet's JSON.
type tracedItem struct {
	Family int     `json:"family"`
	Proto  string  `json:"proto"`
	In     *string `json:"in"`
	Src    string  `json:"src"`
	SPort  *uint16 `json:"sport,omitempty"`
	Dst    string  `json:"dst"`
	DPort  *uint16 `json:"dport,omitempty"`
	// State is "new" where policies were asked, else "established", or "reply" for an answer.
	State string `json:"state"`
	// Verdict is what became of it: as explain's, or "lost" where it went no further, and no chain
	// dropped it.
	Verdict   string  `json:"verdict"`
	Interface *string `json:"interface"`
	Uplink    *string `json:"uplink"`
	Policy    *string `json:"policy"`
	// Probe is the uplink that pbr watch checks by it; absent if it is none of its pings.
	Probe     *string         `json:"probe,omitempty"`
	Mark      string          `json:"mark"`
	Seen      *string         `json:"seen"`
	DroppedBy *tracedDrop     `json:"dropped_by"`
	Agrees    bool            `json:"agrees"`
	Explain   json.RawMessage `json:"explain"`
}

// print shows a packet.
func (t *traceShow) print(p *tracedPacket) error {
	if !p.tuple.Src.IsValid() {
		return nil // neither IPv4 nor IPv6
	}
	_ = t.view.refresh() // a file that is being edited: what was read before still holds
	item, expected := t.judge(p)
	if t.json {
		return json.NewEncoder(t.stdout).Encode(item)
	}
	in := "from the router itself"
	if item.In != nil && *item.In != "local" {
		in = "by " + *item.In
	}
	state := item.State
	if item.Probe != nil {
		state += ", probe of " + *item.Probe + " by pbr"
	}
	fmt.Fprintf(t.stdout, "%s  %s %s > %s, %s, %s\n", time.Now().Format("15:04:05.000"), item.Proto,
		endText(p.tuple.Src, &p.tuple, p.tuple.SPort),
		endText(p.tuple.Dst, &p.tuple, p.tuple.DPort), in, state)
	fmt.Fprintf(t.stdout, "    went     %s\n", wentText(&item))
	if item.Agrees {
		_, err := fmt.Fprintf(t.stdout, "    explain  the same: %s\n", expected.Because())
		return err
	}
	_, err := fmt.Fprintf(t.stdout, "    explain  DIFFERS: %s, uplink %s: %s\n",
		expected.Verdict, dash(expected.Uplink), expected.Because())
	return err
}

func wentText(item *tracedItem) string {
	var parts []string
	switch item.Verdict {
	case "forward":
		parts = append(parts, "out of "+*item.Interface)
		if item.Uplink != nil {
			parts[0] = fmt.Sprintf("through uplink %s (%s)", *item.Uplink, *item.Interface)
		}
	case "local":
		parts = append(parts, "to the router itself")
	case "drop":
		parts = append(parts, item.DroppedBy.String())
	default:
		parts = append(parts, "no further: no chain dropped it, so there is no route, the kernel refused its source, or forwarding is off")
	}
	if item.Policy != nil {
		parts = append(parts, "policy "+*item.Policy)
	}
	if item.Mark != "0x0" {
		parts = append(parts, "mark "+item.Mark)
	}
	if item.Seen != nil {
		parts = append(parts, "seen as "+*item.Seen)
	}
	return strings.Join(parts, ", ")
}

// judge says where a packet went, and what explain says about it.
func (t *traceShow) judge(p *tracedPacket) (tracedItem, *explain.Answer) {
	o := &p.tuple
	item := tracedItem{
		Family: int(plan.FamilyOf(o.Src)), Proto: policy.ProtoName(o.Proto), Src: o.Src.String(), Dst: o.Dst.String(),
		SPort: portOf(o, o.SPort), DPort: portOf(o, o.DPort),
		State: "established", Policy: named(p.policy), Mark: hexMark(p.mark), DroppedBy: p.dropped,
	}
	in, out := "local", interfaceName(p.oif)
	if !p.local {
		in = interfaceName(p.iif)
	}
	item.In = named(in)
	c := explain.Connection{Src: o.Src, Dst: o.Dst, ReplySrc: o.Dst, ReplyDst: o.Src, Proto: o.Proto, SPort: o.SPort,
		DPort: o.DPort, ICMPType: o.ICMPType, HasPorts: o.HasPorts}
	flow, reply := t.flowOf(o)
	switch {
	case p.classified:
		item.State = "new"
	case reply:
		item.State = "reply"
	}
	if flow != nil {
		c.Mark, c.Reply = flow.Mark, reply
		if reply { // -- which goes to whoever opened the connection, whatever its destination address
			c.Dst = flow.Orig.Src
		}
		if !reply && flow.Reply.Dst != o.Src {
			item.Seen = named(flow.Reply.Dst.String())
		}
	} else if p.dropped != nil {
		item.State = "new" // -- nothing of it exists any more
	}
	a := t.view.explainer.AnswerTo(&c, in, item.State != "new")
	item.Verdict = p.verdict(out, a)
	if item.Verdict == "forward" {
		item.Interface, item.Uplink = named(out), named(t.view.explainer.UplinkOf(out))
	}
	item.Probe = named(t.probeOf(p, in, out, item.Verdict))
	item.Agrees = agrees(&item, a)
	item.Explain = a.AppendJSON(nil, "0")
	return item, a
}

// probeOf is the uplink that the watch checks by a packet, as the router sends it or gets it back;
// empty if it does not.
func (t *traceShow) probeOf(p *tracedPacket, in, out, verdict string) string {
	dev := out
	if !p.local {
		dev = in
	}
	uplink := t.view.explainer.UplinkOf(dev)
	if (p.local || verdict == "local") && t.view.explainer.Probes(p.tuple.Proto, p.echoID, uplink) {
		return uplink
	}
	return ""
}

func (p *tracedPacket) verdict(out string, a *explain.Answer) string {
	switch {
	case p.dropped != nil:
		return "drop"
	case out != "":
		return "forward"
	case a.Verdict == "local":
		return "local"
	}
	return "lost"
}

// agrees reports whether explain foretold what became of a packet: of every packet the interface
// or, where turn or chance decides, one of the uplinks; of first packets the policy and the address
// that the far end sees, too.
func agrees(item *tracedItem, a *explain.Answer) bool {
	switch {
	case item.Verdict == "lost":
		return a.Verdict != "forward" && a.Verdict != "local"
	case item.Verdict != a.Verdict || item.State == "new" && !agreesFirst(item, a):
		return false
	case item.Verdict != "forward":
		return true
	case len(a.Members) > 0:
		return item.Uplink != nil && slices.Contains(a.Members, *item.Uplink) || item.Uplink == nil && slices.Contains(a.Members, "")
	}
	return a.Interface == "" || a.Interface == *item.Interface
}

// agreesFirst reports whether explain agrees in what only first packets show.
func agreesFirst(item *tracedItem, a *explain.Answer) bool {
	if item.Seen != nil && a.Address.IsValid() && *item.Seen != a.Address.String() {
		return false
	}
	foretold := ""
	if a.By.Kind == explain.ByPolicy {
		foretold = a.By.Name
	}
	return item.Policy == nil || foretold == *item.Policy
}

// flowOf finds the connection of a packet, and whether the packet is an answer.
func (t *traceShow) flowOf(o *conntrack.Tuple) (flow *conntrack.Flow, reply bool) {
	flows, err := t.view.kernel.Flows()
	if err != nil {
		return nil, false
	}
	same := func(a *conntrack.Tuple) bool {
		return a.Src == o.Src && a.Dst == o.Dst && a.Proto == o.Proto && a.SPort == o.SPort && a.DPort == o.DPort
	}
	for i := range flows {
		if same(&flows[i].Orig) {
			return &flows[i], false
		}
	}
	for i := range flows {
		if same(&flows[i].Reply) {
			return &flows[i], true
		}
	}
	return nil, false
}

// interfaceName is the name of an interface by its number, empty if there is none.
func interfaceName(index int) string {
	if index == 0 {
		return ""
	}
	i, err := net.InterfaceByIndex(index)
	if err != nil {
		return ""
	}
	return i.Name
}
