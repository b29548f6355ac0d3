// Package explain says in a policy's words where a packet goes, and why: the evaluator's way
// (package walk), with the names of the file.
//
//	x, err := explain.New(doc, p, explain.Live{})   // offline; or with what the kernel and the watch have
//	q, err := x.Read(&text, nil)
//	a, err := x.Answer(q)
//
// It knows no kernel, clock or file. An Explainer never changes, and is for any number of
// goroutines.
package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
	"pbr/compiler/walk"
)

// Names that plans have beside the policy's.
const (
	tableDefault = "default"
	tableMain    = "main"
)

// Live is what is known besides the policy. With the zero value main is unknown, and all uplinks
// count as usable.
type Live struct {
	Facts walk.Facts
	// Health says what keeps uplinks from being used, by name; absent ones are usable.
	Health map[string]string
	// NoFlowtables is set if the kernel cannot offload.
	NoFlowtables bool
	// Failing makes the plan with one more uplink that failed its check; nil if that is not to be
	// known.
	Failing func(uplink string) *plan.Plan
	// Others says what others' tables may do to packets, and why the kernel differs from the
	// policy.
	Others []string
	// Now is the time of packets if the question has none, Zone that of the machine's clock.
	Now  time.Time
	Zone *time.Location
	// MACs are the Ethernet addresses of neighbours, for questions and connections that name none.
	MACs map[netip.Addr][6]byte
	// Domain returns the name by which an address came into a list, empty if it did otherwise; nil
	// knows none.
	Domain func(list string, a netip.Addr) string
	// EchoIDs are the identifiers of the watch's pings by uplink, empty while no watch runs.
	EchoIDs map[string]uint16
	// ProbePort reports whether a source port is that of a probe by TCP or UDP of an uplink's
	// check; nil knows none.
	ProbePort func(uplink string, proto uint8, port uint16) bool
	// Dropping has, by hook, which chains of others drop what they do not accept.
	Dropping map[string][]string
	// Translated says what others' tables do to the destination of a new connection's first packet,
	// which is for the router itself if own is set; nil says nothing.
	Translated func(p *walk.Packet, own bool) []string
	// NotForwarding returns the setting that keeps packets of an IP version that arrive on an
	// interface from being forwarded, empty if none does; nil is none.
	NotForwarding func(iif string, family plan.Family) string
}

// Explainer answers for one policy.
type Explainer struct {
	doc    *policy.Document
	plan   *plan.Plan
	live   Live
	router *walk.Router

	// uplinks and byInterface find uplinks by name and interface.
	uplinks, byInterface map[string]*policy.Uplink
	// tables are names by number, marks those of names, numbers by mark.
	tables  map[uint32]string
	marks   map[string]uint32
	numbers map[uint32]plan.Number
	// policies are found by counter, rules by priority.
	policies map[string]*caught
	rules    map[uint32]*policy.Rule
	routed   map[string]*policy.Table
	// arrivals are interfaces that policies and rules name.
	arrivals []string
	// runTime are the lists that get members while the policy is in force, by set.
	runTime map[string]*policy.List
}

// caught is a policy with what is said of it.
type caught struct {
	policy *policy.Policy
	index  int
	why    string
}

// New prepares a policy with its plan: the wanted one, or what the kernel has. Numbers are those of
// the wanted one.
func New(doc *policy.Document, wanted, have *plan.Plan, live Live) (*Explainer, error) {
	x := &Explainer{doc: doc, plan: have, live: live, uplinks: map[string]*policy.Uplink{}, byInterface: map[string]*policy.Uplink{},
		tables: map[uint32]string{plan.MainTable: tableMain}, marks: map[string]uint32{}, numbers: map[uint32]plan.Number{},
		policies: map[string]*caught{}, rules: compiler.UserRules(doc), routed: map[string]*policy.Table{}}
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		x.uplinks[u.Name], x.byInterface[u.Interface] = u, u
	}
	if !live.Facts.Known {
		x.live.Facts.Outside = map[string]bool{}
		for name := range x.byInterface {
			x.live.Facts.Outside[name] = true
		}
	}
	var err error
	if x.router, err = walk.NewRouter(have, &x.live.Facts); err != nil {
		return nil, fmt.Errorf("evaluating the ruleset: %w", err)
	}
	for _, n := range wanted.Numbers {
		x.tables[n.Table], x.marks[n.Name], x.numbers[n.Mark] = n.Name, n.Mark, n
	}
	for i := range doc.Policies {
		p := &doc.Policies[i]
		x.policies[compiler.PolicyCounter(p)] = &caught{policy: p, index: i, why: "policy " + p.Name + " (" +
			place(p.Pos) + "): the first that matches"}
	}
	for i := range doc.Tables {
		x.routed[doc.Tables[i].Name] = &doc.Tables[i]
	}
	if doc.Default != nil {
		x.routed[tableDefault] = doc.Default
	}
	x.arrivals = arrivals(doc)
	x.runTime = runTimeLists(doc)
	return x, nil
}

// arrivals are the interfaces that a policy file names, patterns filled in.
func arrivals(doc *policy.Document) (names []string) {
	add := func(items []policy.NameItem) {
		for _, n := range items {
			if n.Name != "lo" {
				names = append(names, strings.Replace(n.Name, "*", "0", 1))
			}
		}
	}
	for i := range doc.Policies {
		add(doc.Policies[i].From)
	}
	for i := range doc.Rules {
		add(doc.Rules[i].IIF)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Notes returns what others' tables may do to packets, and why the kernel differs from the policy.
func (x *Explainer) Notes() []string { return x.live.Others }

func place(pos policy.Pos) string { return pos.File + ":" + strconv.Itoa(pos.Line) }

func (x *Explainer) isLive() bool { return x.live.Facts.Known }

func (x *Explainer) interfaceExists(name string) bool {
	_, exists := x.live.Facts.Links[name]
	return exists || !x.isLive()
}

// tableName is a table by its number.
func (x *Explainer) tableName(id uint32) string {
	if name := x.tables[id]; name != "" {
		return name
	}
	return strconv.FormatUint(uint64(id), 10)
}

// markName returns the name of the table that a mark stands for, empty if none.
func (x *Explainer) markName(mark uint32) string { return x.numberOf(mark).Name }

// pinnedTo returns the uplink that a mark pins connections to; nil if it pins to none. An uplink
// may have several marks, as isp2 and isp2/strict.
func (x *Explainer) pinnedTo(mark uint32) *policy.Uplink { return x.uplinks[x.numberOf(mark).Uplink] }

func (x *Explainer) numberOf(mark uint32) plan.Number { return x.numbers[mark&x.plan.NumberMask()] }

// Answer explains a packet's way. It fails if the answer depends on something that the question
// leaves open.
func (x *Explainer) Answer(q *Question) (*Answer, error) {
	if q.in == "" {
		return x.fromSomewhere(q)
	}
	return x.answer(q), nil
}

// fromSomewhere answers a question without an interface: by the route to the sender where main is
// known, otherwise if all interfaces that the policy file names, and one that it does not, give one
// answer.
func (x *Explainer) fromSomewhere(q *Question) (*Answer, error) {
	if x.isLive() {
		dev, own := x.router.To(q.packet.Src)
		switch {
		case own:
			q.in, q.packet.HasUID = local, true
		case dev == "":
			return nil, fmt.Errorf("in: there is no route to %s: write the interface that it arrives on", q.packet.Src)
		default:
			q.in = dev
		}
		q.notes = append(q.notes, "in: "+q.in+", by the route to "+q.packet.Src.String())
		return x.answer(q), nil
	}
	first := x.answer(q)
	for _, name := range x.arrivals {
		if q.in = name; x.byInterface[name] == nil && !first.sameWay(x.answer(q)) {
			q.in = ""
			return nil, fmt.Errorf("in: the answer depends on the interface, and main's routes are unknown: "+
				"write in = %q, or another interface", name)
		}
	}
	q.in = ""
	return first, nil
}

// unnamed stands for an interface that is not known. None has such a name.
const unnamed = "an unnamed one"

func (x *Explainer) answer(q *Question) *Answer {
	p := q.packet
	if q.in != local {
		p.IIF = cmp.Or(q.in, unnamed)
	}
	if q.established {
		p.CTState, p.CTStatus, p.CTMark = walk.StateEstablished, walk.StatusConfirmed, x.pin(q)
	} else {
		p.CTState = walk.StateNew
	}
	return x.merge(q, &p, x.router.Send(&p))
}

// pin is the ct mark of a question's connection. A packet that arrives from an uplink may be of one
// that either side opened, any other one is taken for one of the side that opened it.
func (x *Explainer) pin(q *Question) uint32 {
	if q.mark != 0 {
		return q.mark
	}
	mark := x.marks[q.pinned]
	if mark != 0 && x.byInterface[q.in] == nil {
		mark |= x.plan.Inside
	}
	return mark
}

// uplinkOf is the uplink of an interface, empty if there is none.
func (x *Explainer) uplinkOf(dev string) string {
	if u := x.byInterface[dev]; u != nil {
		return u.Name
	}
	return ""
}

// better are the routes of a table that would come before a route, with what keeps them from it.
func (x *Explainer) better(t *policy.Table, way *walk.Way) (names []string) {
	if t == nil || way.Route == nil {
		return nil
	}
	var list []policy.Route
	for _, r := range t.Routes {
		covers := !r.Dst.IsValid() || r.Dst == way.Route.Dst
		if covers && r.Distance < way.Route.Metric && x.carries(r.Uplink, way.Route.Family) {
			list = append(list, r)
		}
	}
	sorting.Func(list, func(a, b policy.Route) int { return cmp.Compare(a.Distance, b.Distance) })
	for _, r := range list {
		names = append(names, r.Uplink)
	}
	return names
}

func (x *Explainer) carries(uplink string, family plan.Family) bool {
	return compiler.Carries(x.uplinks[uplink], family)
}

// unusable says why an uplink is not used, as "is down: no answer".
func (x *Explainer) unusable(uplink string) string {
	if why := x.live.Health[uplink]; why != "" {
		return why
	}
	for _, w := range x.plan.Deferred {
		if w.Uplink == uplink {
			return w.Reason
		}
	}
	return notUsed
}

// notUsed is said of an uplink when the reason is not known.
const notUsed = "is not used"
