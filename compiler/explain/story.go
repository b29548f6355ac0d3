package explain

import (
	"fmt"
	"slices"
	"strings"

	"pbr/compiler/policy"
	"pbr/compiler/walk"
)

// Tone is how good a step is for the packet.
type Tone uint8

const (
	Plain Tone = iota
	Good
	Bad
)

// Step is one step of a packet's way, with notes.
type Step struct {
	What, Text string
	Tone       Tone
	More       []string
}

// Story is a packet's way for people.
type Story struct {
	Title string
	Steps []Step
}

// nearest is how many earlier policies are mentioned.
const nearest = 3

// Story describes an answer in the order of the packet's route. source is the text of the policy
// file; with all set it mentions every earlier policy.
func (x *Explainer) Story(a *Answer, source []byte, all bool) *Story {
	s := &Story{Title: x.title(a)}
	way := &a.ways[0]
	s.add("source", x.sourceStep(a, way), toneOf(way.In != walk.SourceCheckFailed && a.By != By{Kind: BySource}))
	s.add("state", x.stateStep(a), Plain)
	by := x.byStep(a, source)
	if a.By.Kind == ByPolicy || a.By.Kind == ByDefault || a.By.Kind == ByRule || a.By.Kind == ByMain {
		n := nearest
		if all {
			n = 0
		}
		for _, m := range x.Missed(a, n) {
			by.More = append(by.More, fmt.Sprintf("not policy %s (line %d): %s", m.Name, m.Line, m.Why))
		}
	}
	s.Steps = append(s.Steps, by)
	s.add("balance", x.balanceStep(a), Plain)
	s.add("name", x.byName(a, &a.question.packet), Plain)
	x.markSteps(s, a)
	if t := x.whyTable(a, way); t != "" {
		s.add("table", strings.TrimPrefix(t, "table "), toneOf(way.Fate == walk.Forwarded))
	}
	x.leaveSteps(s, a, way)
	for _, note := range slices.Concat(a.question.notes, x.besides(a)) {
		s.add("note", note, Plain)
	}
	s.add("note", x.unknownMAC(a), Plain)
	s.add("note", x.unknownLists(way), Plain)
	if !x.isLive() {
		s.add("note", "from the policy alone: main's routes are unknown, and all uplinks count as usable", Plain)
	}
	return s
}

// unknownMAC says which policy may catch the packet by a MAC address that is not known.
func (x *Explainer) unknownMAC(a *Answer) string {
	if a.question.packet.Ethernet || a.question.in == local || a.question.established || x.byInterface[a.question.in] != nil {
		return ""
	}
	for _, m := range x.Missed(a, 0) {
		if m.Why == missesMAC {
			return "policy " + m.Name + " matches by MAC: ask again with --mac"
		}
	}
	return ""
}

func (s *Story) add(what, text string, tone Tone) {
	if text != "" {
		s.Steps = append(s.Steps, Step{What: what, Text: text, Tone: tone})
	}
}

func toneOf(good bool) Tone {
	if good {
		return Plain
	}
	return Bad
}

// title names the packet.
func (x *Explainer) title(a *Answer) string {
	k := &a.question.packet
	src := k.Src.String()
	if !k.Src.IsValid() {
		src = "(no address yet)"
	}
	text := fmt.Sprintf("%s > %s %s", src, k.Dst, policy.ProtoName(k.Proto))
	if policy.HasPorts(k.Proto) && k.DPort != 0 {
		text += fmt.Sprintf("/%d", k.DPort)
	}
	switch a.question.in {
	case local:
		return text + ", from the router itself"
	case "":
		return text
	}
	return text + ", arriving on " + a.question.in
}

// senders are the addresses that a socket may get: each of several next hops gives another.
func senders(ways []walk.Way) (list []string) {
	for i := range ways {
		if text := ways[i].Sender.String(); ways[i].Sender.IsValid() && !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

func (x *Explainer) sourceStep(a *Answer, way *walk.Way) string {
	switch {
	case a.By == By{Kind: BySource}:
		return x.whyBy(a, &a.packet, way)
	case a.question.in == local && !a.question.packet.Src.IsValid() && way.Sender.IsValid():
		return "the socket gets the address " + strings.Join(senders(a.ways), " or ")
	case !x.isLive() || a.question.in == local:
		return ""
	}
	return "valid"
}

func (x *Explainer) stateStep(a *Answer) string {
	switch {
	case !a.question.established:
		return "a new connection: its first packet"
	case a.question.pinned != "":
		return "established, pinned to " + a.question.pinned
	}
	return "established, unmarked"
}

// byStep says what decided; a policy or rule with its text.
func (x *Explainer) byStep(a *Answer, source []byte) Step {
	step := Step{What: string(a.By.Kind), Text: x.whyBy(a, &a.packet, &a.ways[0]), Tone: Good}
	step.Text = strings.TrimPrefix(step.Text, step.What+" ")
	if text := policy.SectionText(source, x.placeOf(a.By)); text != "" {
		step.More = append(step.More, text)
	}
	return step
}

// placeOf returns where the file has a policy or rule; for anything else it is nowhere.
func (x *Explainer) placeOf(by By) policy.Pos {
	switch by.Kind {
	case ByPolicy:
		if i := slices.IndexFunc(x.doc.Policies, func(p policy.Policy) bool { return p.Name == by.Name }); i >= 0 {
			return x.doc.Policies[i].Pos
		}
	case ByRule:
		if i := slices.IndexFunc(x.doc.Rules, func(r policy.Rule) bool { return r.Name == by.Name }); i >= 0 {
			return x.doc.Rules[i].Pos
		}
	}
	return policy.Pos{}
}

func (x *Explainer) markSteps(s *Story, a *Answer) {
	if a.PacketMark != 0 && !a.ManyMarks[0] {
		s.add("mark", x.markText(a.PacketMark), Plain)
	}
}

// markText is a mark by number and by the name of its table.
func (x *Explainer) markText(mark uint32) string {
	text := fmt.Sprintf("%#08x", mark)
	if name := x.markName(mark); name != "" && mark&x.plan.NumberMask() != 0 {
		text += ": " + name
	}
	return text
}

func (x *Explainer) leaveSteps(s *Story, a *Answer, way *walk.Way) {
	switch {
	case a.Verdict != walk.Forwarded.String():
		s.add("verdict", x.verdictText(a, way), toneOf(way.Fate == walk.Delivered))
		return
	case len(a.Members) > 0:
		names := make([]string, len(a.Members))
		for i, m := range a.Members {
			if names[i] = m; m == "" {
				names[i] = "(none)"
			}
		}
		s.add("leaves", "through one of "+strings.Join(names, ", ")+", "+x.chosenText(a), Good)
	default:
		s.add("leaves", leavesText(a, way), Good)
	}
	s.add("nat", natText(a), Plain)
	if a.CTMark&x.plan.NumberMask() != 0 && !a.ManyMarks[1] {
		s.add("pinned", "connection mark "+x.markText(a.CTMark)+", until the connection ends", Plain)
	} else if a.CTMark&x.plan.NumberMask() == 0 && !a.ManyMarks[1] {
		s.add("pinned", "no: the connection carries no mark", Plain)
	}
	if a.Offload {
		s.add("offload", "yes, once established: "+a.OffloadWhy, Plain)
	} else {
		s.add("offload", "no: "+a.OffloadWhy, Plain)
	}
	if a.Reply != "" && x.byInterface[a.question.in] != nil {
		s.add("answer", "leaves through "+a.Reply, Plain)
	} else if lost := x.lostAnswer(&a.packet, way); lost != "" {
		s.add("answer", lost, Bad)
	} else if a.Reply != "" {
		s.add("answer", "comes back through "+a.Reply, Plain)
	}
	x.failStep(s, a)
}

func (x *Explainer) verdictText(a *Answer, way *walk.Way) string {
	switch way.Fate {
	case walk.Delivered:
		text := "the router itself gets it"
		if a.Reply != "" {
			text += "; the answer leaves through " + a.Reply
		}
		return text
	case walk.Unreachable:
		return "unreachable: the sender gets an ICMP error"
	case walk.Prohibited:
		return "prohibited: the sender gets an ICMP error"
	}
	return "dropped: the sender gets no error"
}

func leavesText(a *Answer, way *walk.Way) string {
	var parts []string
	if a.Uplink != "" {
		parts = append(parts, "through uplink "+a.Uplink)
	}
	if way.Dev != "" {
		parts = append(parts, "interface "+way.Dev)
	}
	if way.Via.IsValid() {
		parts = append(parts, "gateway "+way.Via.String())
	}
	if parts == nil {
		return "main's route"
	}
	return strings.Join(parts, ", ")
}

func natText(a *Answer) string {
	switch {
	case a.NAT == "":
		return "each uplink its own"
	case !a.Address.IsValid():
		return a.NAT
	case a.NAT == walk.Untranslated.String():
		return "none: the far end sees " + a.Address.String()
	}
	return a.NAT + ": the far end sees " + a.Address.String()
}
