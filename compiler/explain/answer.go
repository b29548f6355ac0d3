package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"pbr/compiler"
	"pbr/compiler/ipproto"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/walk"
)

// Kind is what decided.
type Kind string

// What a packet's way is decided by.
const (
	ByPolicy     Kind = "policy"
	ByRule       Kind = "rule"
	ByDefault    Kind = "default"
	ByMain       Kind = "main"       // a route of main, or of a LAN
	BySource     Kind = "source"     // the sender's address: a socket bound to an uplink's, or a source that is not valid
	ByConnection Kind = "connection" // the uplink that the connection is pinned to
	ByInbound    Kind = "inbound"    // it arrived on an uplink
	ByLocal      Kind = "local"      // it is for the router itself
	ByNever      Kind = "never"      // it is never classified
	ByProbe      Kind = "probe"      // of running connections alone: pbr watch checks the uplink by it
)

var kinds = []Kind{ByPolicy, ByRule, ByDefault, ByMain, BySource, ByConnection, ByInbound, ByLocal, ByNever}

// By is what decided. Name and Line are empty where there is none in the file.
type By struct {
	Kind Kind
	Name string
	Line int
}

// Answer says where a packet goes. Texts are empty, and addresses invalid, where there is nothing
// of the kind, or where Members lead to different ones.
type Answer struct {
	Verdict, Source string
	By              By
	Table, Uplink   string
	Interface       string
	Members         []string // empty names stand for no uplink
	PacketMark      uint32
	CTMark          uint32
	ManyMarks       [2]bool // members have different ones: of the packet, of the connection
	NAT             string
	Address         netip.Addr
	Offload         bool
	OffloadWhy      string
	Reply           string
	Why             []string
	ways            []walk.Way
	because         string // the sentence of Why that says what decided
	question        *Question
	packet          walk.Packet
}

// sameWay reports whether two answers are the same but for the interface of arrival.
func (a *Answer) sameWay(b *Answer) bool {
	return a.Verdict == b.Verdict && a.By == b.By && a.Table == b.Table && a.Uplink == b.Uplink &&
		a.Interface == b.Interface && slices.Equal(a.Members, b.Members)
}

// merge makes one answer of the ways that a packet may take.
func (x *Explainer) merge(q *Question, p *walk.Packet, ways []walk.Way) *Answer {
	a := x.ofWay(p, &ways[0])
	a.ways, a.question, a.packet = ways, q, *p
	for i := 1; i < len(ways); i++ {
		b := x.ofWay(p, &ways[i])
		if len(a.Members) == 0 && (b.Uplink != a.Uplink || b.Interface != a.Interface) {
			a.Members = []string{a.Uplink}
		}
		if len(a.Members) > 0 && !slices.Contains(a.Members, b.Uplink) {
			a.Members = append(a.Members, b.Uplink)
		}
		a.differ(b)
	}
	x.addWhy(a, p)
	return a
}

// differ empties what another member has otherwise.
func (a *Answer) differ(b *Answer) {
	for _, both := range [][2]*string{{&a.Table, &b.Table}, {&a.Uplink, &b.Uplink}, {&a.Interface, &b.Interface},
		{&a.NAT, &b.NAT}, {&a.Reply, &b.Reply}} {
		if *both[0] != *both[1] {
			*both[0] = ""
		}
	}
	if a.Address != b.Address {
		a.Address = netip.Addr{}
	}
	a.ManyMarks[0] = a.ManyMarks[0] || a.PacketMark != b.PacketMark
	a.ManyMarks[1] = a.ManyMarks[1] || a.CTMark != b.CTMark
	if b.Verdict == walk.Forwarded.String() {
		a.Verdict = b.Verdict
	}
	if !b.Offload {
		a.Offload, a.OffloadWhy = false, b.OffloadWhy
	}
}

// ofWay is the answer for one way.
func (x *Explainer) ofWay(p *walk.Packet, way *walk.Way) *Answer {
	a := &Answer{Verdict: way.Fate.String(), Source: "policy", By: x.by(p, way), PacketMark: way.Mark,
		CTMark: way.CTMark, NAT: way.NAT.String()}
	if x.isLive() {
		a.Source = "live"
	}
	if way.Rule != nil && way.Fate != walk.Delivered && way.Rule.Action == plan.ActLookup && !x.refusedByPolicy(way) {
		a.Table = x.tableName(way.Rule.Table)
	}
	if way.Fate == walk.Forwarded {
		a.Interface, a.Address = way.Dev, way.Src
		if a.By.Kind != ByMain {
			a.Uplink = x.uplinkOf(way.Dev)
		}
	}
	a.Reply = x.reply(p, way, a.Uplink)
	a.Offload, a.OffloadWhy = x.offload(p, way)
	return a
}

// refusedByPolicy reports whether the packet got no way because that is a policy's action.
func (x *Explainer) refusedByPolicy(way *walk.Way) bool {
	return way.Fate != walk.Forwarded && slices.ContainsFunc(way.Counters, func(name string) bool {
		c := x.policies[name]
		return c != nil && c.policy.Target.Refuses()
	})
}

// by is what decided about a packet.
func (x *Explainer) by(p *walk.Packet, way *walk.Way) By {
	arrived := x.byInterface[p.IIF]
	switch {
	case way.In == walk.DestinationCheckFailed:
		return By{Kind: ByNever}
	case way.Fate == walk.Discarded && way.Rule == nil, way.In == walk.SourceCheckFailed:
		return By{Kind: BySource}
	case way.In == compiler.ChainNever, way.Fate == walk.Delivered && x.router.IsBroadcast(p.Dst):
		return By{Kind: ByNever}
	case arrived != nil:
		return byUplink(ByInbound, arrived)
	case way.Fate == walk.Delivered:
		return By{Kind: ByLocal}
	case way.Rule != nil && way.Rule.Table == plan.MainTable && way.Rule.SuppressPrefix > 0:
		return By{Kind: ByMain}
	case p.CTMark&x.plan.NumberMask() != 0:
		if u := x.pinnedTo(p.CTMark); u != nil {
			return byUplink(ByConnection, u)
		}
	}
	for _, name := range way.Counters {
		if c := x.policies[name]; c != nil {
			return By{ByPolicy, c.policy.Name, c.policy.Pos.Line}
		}
		if name, is := compiler.PolicyOf(name); is {
			return By{Kind: ByPolicy, Name: name} // applied, and not in the file any more
		}
	}
	return x.byRule(way)
}

func byUplink(kind Kind, u *policy.Uplink) By { return By{kind, u.Name, u.Pos.Line} }

// byRule is what decided about an unmarked packet: the ip rule that it met.
func (x *Explainer) byRule(way *walk.Way) By {
	r := way.Rule
	if r == nil {
		return By{Kind: ByMain}
	}
	if rule := x.rules[r.Priority]; rule != nil && plan.InSpan(x.plan.BasePriority, r.Priority) {
		return By{ByRule, rule.Name, rule.Pos.Line}
	}
	switch name := x.tableName(r.Table); {
	case name == tableDefault && x.doc.Default != nil:
		return By{ByDefault, tableDefault, x.doc.Default.Pos.Line}
	case r.Src.IsValid() && x.uplinks[name] != nil:
		return byUplink(BySource, x.uplinks[name])
	}
	return By{Kind: ByMain}
}

// reply is the uplink that the answer comes back through, or for what arrived on an uplink leaves
// through.
func (x *Explainer) reply(p *walk.Packet, way *walk.Way, uplink string) string {
	if x.byInterface[p.IIF] == nil {
		return uplink
	}
	if way.Fate != walk.Forwarded && way.Fate != walk.Delivered {
		return ""
	}
	for _, back := range x.router.Answer(p, way) {
		return x.uplinkOf(back.Dev)
	}
	return ""
}

// offload reports whether the rest of the connection goes past the kernel's slow path, and why or
// why not.
func (x *Explainer) offload(p *walk.Packet, way *walk.Way) (bool, string) {
	mode := x.doc.Settings.Offload.Mode
	switch {
	case mode == policy.OffloadOff:
		return false, "offload is \"off\""
	case way.Fate != walk.Forwarded:
		return false, "it is not forwarded"
	case p.IIF == "":
		return false, "the router's own packets are not forwarded"
	case p.Proto != ipproto.TCP && p.Proto != ipproto.UDP:
		return false, "only TCP and UDP can be offloaded"
	case x.live.NoFlowtables:
		return false, "this kernel has no flowtables"
	case way.CTMark&x.plan.NumberMask() != 0 && mode == policy.OffloadUnmarked:
		return false, "the connection is pinned to " + x.markName(way.CTMark) + ", and offload = \"unmarked\""
	case !x.offloads(p, way):
		return false, "the ruleset has no rule that offloads it"
	case mode == policy.OffloadAll:
		return true, "offload = \"all\""
	}
	return true, "the connection is unmarked"
}

// offloads reports whether a packet towards an uplink puts the connection into the flowtable.
func (x *Explainer) offloads(p *walk.Packet, way *walk.Way) bool {
	ways := x.router.Next(p, way)
	if x.byInterface[p.IIF] != nil {
		ways = x.router.Answer(p, way)
	}
	return slices.ContainsFunc(ways, func(w walk.Way) bool { return w.Offloaded })
}

// addWhy describes the packet's route in sentences.
func (x *Explainer) addWhy(a *Answer, p *walk.Packet) {
	a.Why = append(a.Why, a.question.notes...)
	if !x.isLive() {
		a.Why = append(a.Why, "from the policy alone: main's routes are unknown, and all uplinks count as usable")
	}
	way := &a.ways[0]
	unknown, by := x.unknownLists(way), x.whyBy(a, p, way)
	if unknown != "" {
		a.Why = append(a.Why, unknown)
	}
	a.Why = append(a.Why, by)
	a.because = cmp.Or(unknown, by)
	if name := x.byName(a, p); name != "" {
		a.Why = append(a.Why, name)
	}
	if t := x.whyTable(a, way); t != "" {
		a.Why = append(a.Why, t)
	}
	if a.Verdict == walk.Forwarded.String() && a.CTMark&x.plan.NumberMask() != 0 && !a.ManyMarks[1] {
		a.Why = append(a.Why, "the connection is pinned to "+x.markName(a.CTMark))
	}
	if off := x.notForwarded(p, way); off != "" {
		a.Why = append(a.Why, off)
	}
	if lost := x.lostAnswer(p, way); lost != "" {
		a.Why = append(a.Why, lost)
	}
	a.Why = append(a.Why, x.besides(a)...)
}

// besides is what others' tables do to a packet.
func (x *Explainer) besides(a *Answer) []string {
	notes := append(slices.Clone(x.live.Others), x.dropping(a)...)
	if x.live.Translated != nil && !a.question.established {
		notes = append(notes, x.live.Translated(&a.packet, a.ways[0].Fate == walk.Delivered)...)
	}
	return notes
}

// dropping are the chains of others on a packet's way that drop what they do not accept.
func (x *Explainer) dropping(a *Answer) (notes []string) {
	hooks := []string{"prerouting", "forward", "postrouting"}
	switch {
	case a.question.in == local:
		hooks = []string{"output", "postrouting"}
	case a.Verdict == walk.Delivered.String():
		hooks = []string{"prerouting", "input"}
	}
	for _, hook := range hooks {
		notes = append(notes, x.live.Dropping[hook]...)
	}
	return notes
}

// notForwarded says that this machine does not forward a packet, empty if it does.
func (x *Explainer) notForwarded(p *walk.Packet, way *walk.Way) string {
	if x.live.NotForwarding == nil || p.IIF == "" || way.Fate != walk.Forwarded {
		return ""
	}
	setting := x.live.NotForwarding(p.IIF, plan.FamilyOf(p.Dst))
	if setting == "" {
		return ""
	}
	return "this machine does not forward it: " + setting + " is 0: pbr sets it with sysctl = true in [pbr]"
}

// lostAnswer says what keeps the answer of a packet that leaves through an uplink from coming back;
// empty if nothing is known to.
func (x *Explainer) lostAnswer(p *walk.Packet, way *walk.Way) string {
	if !x.isLive() || way.Fate != walk.Forwarded || x.byInterface[way.Dev] == nil || !way.Src.IsValid() {
		return ""
	}
	back := &x.router.Answer(p, way)[0]
	switch {
	case back.In == walk.SourceCheckFailed:
		return "the answer is dropped: the kernel's source check (rp_filter) on " + way.Dev +
			" refuses it: sysctl -w net.ipv4.conf." + way.Dev + ".rp_filter=2"
	case back.Fate == walk.Discarded || back.Fate == walk.Unreachable || back.Fate == walk.Prohibited:
		return "the answer is lost: " + back.Fate.String() + x.byRuleText(back)
	case p.IIF != "" && (back.Fate != walk.Forwarded || back.Dev != p.IIF):
		return "the answer does not come back to " + p.IIF + " but goes to " + cmp.Or(back.Dev, "the router itself") + x.byRuleText(back)
	}
	return ""
}

// byRuleText names the rule of the file that a way is by, if there is one.
func (x *Explainer) byRuleText(way *walk.Way) string {
	if by := x.byRule(way); by.Kind == ByRule {
		return ", by rule " + by.Name + " (" + x.doc.File + ":" + strconv.Itoa(by.Line) + ")"
	}
	return ""
}

func (x *Explainer) whyBy(a *Answer, p *walk.Packet, way *walk.Way) string {
	switch a.By.Kind {
	case ByPolicy:
		for _, name := range way.Counters {
			if c := x.policies[name]; c != nil {
				return c.why + x.passedBy(c.policy, a, p)
			}
		}
		return "policy " + a.By.Name + ": applied, and not in " + x.doc.File
	case ByRule:
		return "rule " + a.By.Name + " (" + x.doc.File + ":" + strconv.Itoa(a.By.Line) + "): the first that matches a packet without a mark"
	case ByDefault:
		return "no policy and no rule matches: default (" + place(x.doc.Default.Pos) + ")"
	case ByMain:
		return x.whyMain(way)
	case BySource:
		if a.By.Name == "" {
			if p.Src.IsLinkLocalUnicast() {
				return "the source " + p.Src.String() + " is only valid on its own link, and is not forwarded"
			}
			return "the source " + p.Src.String() + " is impossible for a host behind " + p.IIF + ": dropped (" + way.In + ")"
		}
		return "the socket is bound to " + p.Src.String() + ", an address of uplink " + a.By.Name
	case ByConnection:
		return "the connection is established, and pinned to " + x.markName(p.CTMark)
	case ByInbound:
		return "it arrived on uplink " + a.By.Name + ", where nothing is classified"
	case ByLocal:
		return p.Dst.String() + " is the router itself"
	}
	if way.In == walk.DestinationCheckFailed {
		return p.Dst.String() + " is not accepted from any interface: dropped by the kernel (" + way.In + ")"
	}
	return p.Dst.String() + " is never classified: link-local, multicast, broadcast, or neighbour discovery"
}

// passedBy tells why a new connection does not use the uplink that its policy names, or nothing.
func (x *Explainer) passedBy(by *policy.Policy, a *Answer, p *walk.Packet) string {
	name := by.Target.Name
	if by.Target.Kind != policy.ToUplink || a.Uplink == name || len(a.Members) > 0 {
		return ""
	}
	family := plan.IPv4
	if p.Dst.Is6() {
		family = plan.IPv6
	}
	if !x.carries(name, family) {
		return fmt.Sprintf("; uplink %s is not used: it does not carry IPv%d", name, family)
	}
	if why := x.unusable(name); why != notUsed {
		return "; uplink " + name + " is not used: " + why
	}
	return "; uplink " + name + " is not used"
}

func (x *Explainer) whyMain(way *walk.Way) string {
	switch {
	case way.Rule == nil:
		return "no rule leads to a route"
	case way.Route == nil && way.Rule.Action == plan.ActLookup:
		return "no policy and no rule matches: main's routes decide, which are unknown"
	case way.Rule.SuppressPrefix > 0:
		return "main's route to " + way.Route.Dst.String() + " comes first"
	case way.Route == nil:
		return "another program's ip rule at priority " + strconv.FormatUint(uint64(way.Rule.Priority), 10) + " refuses it"
	case way.Rule.MarkMask != 0 && plan.InSpan(x.plan.BasePriority, way.Rule.Priority):
		return "the packet arrives with mark " + x.markText(way.Mark) + ", which is pbr's: no other program may set it"
	case way.Rule.Table == plan.MainTable:
		return "no policy and no rule matches: main's route to " + way.Route.Dst.String()
	}
	return "another program's ip rule at priority " + strconv.FormatUint(uint64(way.Rule.Priority), 10) +
		" leads to table " + x.tableName(way.Rule.Table)
}

// whyTable says which route of a table was used, and why no better one was.
func (x *Explainer) whyTable(a *Answer, way *walk.Way) string {
	isRefused := a.By == By{Kind: BySource} // what its table has does not matter
	if isRefused || way.Route == nil || a.Table == "" || a.Table == tableMain || len(a.Members) > 0 && len(way.Route.Hops) < 2 {
		return ""
	}
	if way.Fate != walk.Forwarded {
		return "table " + a.Table + " is strict and has no usable route"
	}
	text := "table " + a.Table + ": distance " + strconv.FormatUint(uint64(way.Route.Metric), 10) + " through " + x.uplinkOf(way.Dev)
	if len(a.Members) > 0 {
		text = "table " + a.Table + ": several uplinks share distance " + strconv.FormatUint(uint64(way.Route.Metric), 10)
	}
	for _, uplink := range x.better(x.routed[a.Table], way) {
		text += "; " + uplink + " comes first, but: " + x.unusable(uplink)
	}
	return text
}
