package integration

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/layers"
	"pbr/integration/lab"
	"pbr/integration/reference"
)

// explained is pbr explain's answer about a packet.
type explained struct {
	ID                       int
	Error, Verdict           string
	By                       struct{ Kind, Name string }
	Table, Uplink, Interface string
	Members                  []struct{ Uplink string }
	Mark                     struct{ Packet, CT string }
	NAT                      struct{ Kind, Address string }
	Reply                    struct{ Uplink string }
	Why                      []string
	text                     string
}

// explain asks pbr explain, on the router as it is, about packets; established says of each which
// uplink it is pinned to, if it is not a first one.
func (p *property) explain(all []*sent, pinned map[*sent]string) map[*sent]*explained {
	p.t.Helper()
	var questions strings.Builder
	for i, s := range all {
		questions.WriteString(questionOf(i, s, pinned))
	}
	file := filepath.Join(p.t.TempDir(), "questions.jsonl")
	if err := os.WriteFile(file, []byte(questions.String()), 0o600); err != nil {
		p.t.Fatal(err)
	}
	answers := map[*sent]*explained{}
	for _, line := range strings.Split(strings.TrimSpace(p.router.must("explain", "--batch", file)), "\n") {
		a := &explained{text: line}
		if err := json.Unmarshal([]byte(line), a); err != nil || a.Error != "" {
			p.t.Fatalf("pbr explain: %v: %s\nthe questions:\n%s\nthe policy:\n%s", err, line, questions.String(), p.policy.TOML())
		}
		answers[all[a.ID]] = a
	}
	if len(answers) != len(all) {
		p.t.Fatalf("pbr explain answered %d of %d questions", len(answers), len(all))
	}
	return answers
}

// questionOf is a packet as a line of a batch.
func questionOf(id int, s *sent, pinned map[*sent]string) string {
	k := s.packet
	q := map[string]any{"id": id, "in": k.IIF, "dst": k.Dst.String(), "proto": int(k.Proto), "dscp": int(k.DSCP), "mark": int(k.Mark)}
	if k.Src.IsValid() {
		q["src"] = k.Src.String()
	}
	switch {
	case k.Proto == lab.ProtoICMP || k.Proto == lab.ProtoICMPv6:
		q["icmp-type"] = int(k.ICMPType)
	case k.Proto == lab.ProtoTCP || k.Proto == lab.ProtoUDP:
		q["sport"], q["dport"] = int(k.SPort), int(k.DPort)
	}
	if k.Local() {
		q["in"], q["uid"], q["gid"] = "local", int(k.UID), int(k.GID)
	} else if k.MAC != [6]byte{} {
		q["mac"] = fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", k.MAC[0], k.MAC[1], k.MAC[2], k.MAC[3], k.MAC[4], k.MAC[5])
	}
	if uplink, established := pinned[s]; established {
		q["state"] = "established"
		if uplink != "" {
			q["pinned"] = uplink
		}
	}
	line, err := json.Marshal(q)
	if err != nil {
		panic(err)
	}
	return string(line) + "\n"
}

// checkExplained compares what became of packets with what pbr explain says of them: interface,
// address seen, verdict, and the connection's mark.
func (p *property) checkExplained(what string, all []*sent, pinned map[*sent]string) {
	p.t.Helper()
	if len(all) == 0 {
		return
	}
	marks := p.connectionMarks()
	answers := p.explain(all, pinned)
	for _, s := range all {
		p.explained++
		if len(s.ways) > 1 && s.by != "" && len(answers[s].Members) == 0 {
			p.foretold++
		}
		if problem := p.disagreement(s, answers[s], marks); problem != "" {
			if len(pinned) == 0 {
				p.minimise(s)
			}
			p.fail(s, what+": "+problem, "explain: "+answers[s].text)
			return
		}
	}
}

// minimise makes the smallest policy the router's for which kernel and explain still disagree about
// a first packet.
func (p *property) minimise(s *sent) {
	p.t.Helper()
	whole := p.policy
	p.form = layers.Cheapest
	p.policy = reference.Minimised(whole, func(c *reference.Policy) bool {
		if p.policy = c; !p.router.legal(c) {
			return false
		}
		p.apply()
		return p.again(s) != ""
	})
	p.apply()
	if problem := p.again(s); problem == "" {
		p.t.Logf("the disagreement is gone with the policy in its usual form, or with the state that others left: not minimised")
		p.policy = whole
	}
}

// again sends a first packet once more, alone, and says where kernel and explain differ.
func (p *property) again(s *sent) string {
	p.t.Helper()
	p.router.Run("conntrack", "-F")
	s.frame.ID = p.nextID()
	p.send([]*sent{s})
	return p.disagreement(s, p.explain([]*sent{s}, nil)[s], p.connectionMarks())
}

// disagreement says where kernel and explain differ, empty if they do not.
func (p *property) disagreement(s *sent, a *explained, marks map[string]uint32) string {
	if s.by == "" {
		if a.Verdict == "forward" && !a.has("") {
			return "it went nowhere"
		}
		return ""
	}
	dev := p.ifaces[s.by]
	uplink := ""
	for _, u := range p.policy.Uplinks {
		if u.Interface == dev {
			uplink = u.Name
		}
	}
	mark, known := marks[connectionOf(s)]
	switch {
	case a.Verdict != "forward":
		return "it left by " + dev
	case len(a.Members) > 0 && !a.has(uplink):
		return "it left by none of the members"
	case len(a.Members) > 0:
		return ""
	case a.Interface != dev:
		return "it left by " + dev
	case a.NAT.Address != s.out.Src.String() && (a.NAT.Address != "" || p.sources(s, dev) < 2): // one of several is not known
		return "it was seen with source " + s.out.Src.String()
	case !known:
		return "connection tracking does not know it"
	case a.Mark.CT != "" && a.Mark.CT != fmt.Sprintf("0x%x", mark):
		return fmt.Sprintf("its connection's mark is %#x", mark)
	}
	return ""
}

// sources counts the addresses that a packet may have as it leaves through an interface. A sender
// on the router that has none yet gets one of a route of equal distance, though main's route
// decides where the packet then goes.
func (p *property) sources(s *sent, dev string) int {
	addrs := map[netip.Addr]bool{}
	for _, w := range p.eval().First(s.packet) {
		if w.Dev == dev {
			addrs[w.Src] = true
		}
	}
	return len(addrs)
}

// has reports whether an uplink is one of the members; the empty name stands for none at all.
func (a *explained) has(uplink string) bool {
	return slices.ContainsFunc(a.Members, func(m struct{ Uplink string }) bool { return m.Uplink == uplink })
}

// connectionOf names a packet's connection; a packet whose address is the kernel's to choose is
// told from the others of its round by the rest.
func connectionOf(s *sent) string {
	k := s.packet
	if !k.Src.IsValid() {
		return fmt.Sprint(k.Proto, " any ", k.Dst, " ", k.SPort, k.DPort)
	}
	return fmt.Sprint(k.Proto, " ", k.Src, " ", k.Dst, " ", k.SPort, k.DPort)
}

// connectionMarks reads the marks of the router's connections.
func (p *property) connectionMarks() map[string]uint32 {
	marks := map[string]uint32{}
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, line := range strings.Split(p.router.Run("conntrack", "-L", "-f", family), "\n") {
			for _, name := range connectionLine(line) {
				marks[name.connection] = name.mark
			}
		}
	}
	return marks
}

// marked is a connection's mark.
type marked struct {
	connection string
	mark       uint32
}

// connectionLine reads a line of conntrack -L, and names the connection with its source and
// without: the first direction's fields come first.
func connectionLine(line string) []marked {
	words := strings.Fields(line)
	if len(words) < 4 {
		return nil
	}
	proto, err := strconv.Atoi(words[1])
	if err != nil {
		return nil
	}
	fields := map[string]string{}
	for _, w := range words {
		if key, value, is := strings.Cut(w, "="); is && fields[key] == "" {
			fields[key] = value
		}
	}
	src, err1 := netip.ParseAddr(fields["src"])
	dst, err2 := netip.ParseAddr(fields["dst"])
	if err1 != nil || err2 != nil {
		return nil
	}
	mark, _ := strconv.ParseUint(fields["mark"], 10, 32)
	sport, _ := strconv.Atoi(cmp.Or(fields["sport"], fields["id"]))
	dport, _ := strconv.Atoi(fields["dport"])
	return []marked{
		{fmt.Sprint(proto, " ", src, " ", dst, " ", sport, dport), uint32(mark)},
		{fmt.Sprint(proto, " any ", dst, " ", sport, dport), uint32(mark)},
	}
}
