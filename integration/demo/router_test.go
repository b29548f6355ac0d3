package demo

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"pbr/integration/lab"
)

// markMask has the bits of marks that are pbr's by default.
const markMask = 0xff000000

// learnMarks asks pbr for the numbers that it gave to tables and uplinks.
func (s *show) learnMarks() {
	s.t.Helper()
	var plan struct {
		InsideBit string `json:"inside_bit"`
		Tables    []struct{ Name, Mark string }
	}
	text := s.Router.Run(program, "--config", s.file, "compile", "--dry-run", "--json")
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		s.t.Fatalf("reading the plan: %v", err)
	}
	// A connection that was opened from inside has one bit more in its mark.
	inside, err := strconv.ParseUint(plan.InsideBit, 0, 32)
	if err != nil {
		s.t.Fatalf("reading the plan's inside_bit: %v", err)
	}
	s.tables = map[uint32]string{}
	for _, t := range plan.Tables {
		if mark, err := strconv.ParseUint(t.Mark, 0, 32); err == nil {
			s.tables[uint32(mark)], s.tables[uint32(mark|inside)] = t.Name, t.Name
		}
	}
}

// mark names the table of a connection's mark, as the router's connection table has it. sport is 0
// for protocols without ports.
func (s *show) mark(network string, to netip.Addr, sport uint16) string {
	s.t.Helper()
	var args []string
	if sport != 0 {
		args = []string{"--orig-port-src", fmt.Sprint(sport)}
	}
	entry := tracked(s.Router, network, to, args...)
	mark, err := strconv.ParseUint(field(entry, "mark"), 10, 32)
	if err != nil {
		s.t.Errorf("%s to %s: no mark in the router's connection table: %q", network, to, entry)
		return "?"
	}
	if mark &= markMask; mark == 0 {
		return ""
	}
	name := s.tables[uint32(mark)]
	if name == "" {
		s.t.Errorf("%s to %s: mark %#x names no table", network, to, mark)
	}
	return name
}

// tracked returns a host's first connection of a protocol to an address, as conntrack(8) lists it.
func tracked(h *lab.Host, network string, to netip.Addr, args ...string) string {
	family := "ipv4"
	if to.Is6() {
		family = "ipv6"
	}
	out := h.Run("conntrack", append([]string{"-L", "-f", family, "-p", network, "--orig-dst", to.String()}, args...)...)
	entry, _, _ := strings.Cut(out, "\n")
	return entry
}

// field returns the first value of a name in a line of name=value words.
func field(line, name string) string {
	for _, word := range strings.Fields(line) {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			return value
		}
	}
	return ""
}

// counterPattern finds a policy's counter in a listing of nft(8).
var counterPattern = regexp.MustCompile(`counter policy-(\S+) \{[^}]*packets (\d+)`)

// counters reads how many first packets each policy has caught.
func (s *show) counters() map[string]string {
	s.t.Helper()
	packets := map[string]string{}
	for _, m := range counterPattern.FindAllStringSubmatch(s.Router.Run("nft", "list", "counters", "table", "inet", "pbr"), -1) {
		packets[m[1]] = m[2]
	}
	if len(packets) == 0 {
		s.t.Fatal("the router has no policy counters")
	}
	return packets
}

// risen names the policies that counted meanwhile.
func risen(before, after map[string]string) string {
	var names []string
	for name, packets := range after {
		if packets != before[name] {
			names = append(names, name)
		}
	}
	return strings.Join(names, "+")
}

// settings are some of those that pbr makes, below /proc/sys.
var settings = []string{
	"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/fib_multipath_hash_policy",
	"net/ipv4/conf/wan1/rp_filter", "net/ipv4/conf/wan2/src_valid_mark", "net/ipv4/conf/wan2/ignore_routes_with_linkdown",
}

// state lists what pbr could have changed on the router: all nftables tables, rules, routes and the
// settings that it makes.
func (s *show) state() map[string]string {
	s.t.Helper()
	state := map[string]string{"nftables tables": s.Router.Run("nft", "-s", "list", "ruleset")}
	for _, path := range settings {
		state["settings"] += path + " = " + s.Router.ReadSysctl(path) + "\n"
	}
	for family, name := range map[string]string{"-4": "IPv4", "-6": "IPv6"} {
		state[name+" rules"] = s.Router.Run("ip", family, "rule")
		// A line that is down says so in its networks' routes; that is the demo's doing.
		routes := s.Router.Run("ip", family, "route", "show", "table", "all")
		state[name+" routes"] = strings.NewReplacer("linkdown", "", "dead", "").Replace(routes)
	}
	return state
}

// nothingLeft compares the router with how it was before pbr, and looks for marks on connections.
func (s *show) nothingLeft(before map[string]string) {
	s.t.Helper()
	after := s.state()
	rows := [][]string{{"WHAT", "COMPARED WITH BEFORE PBR"}}
	for _, what := range []string{"nftables tables", "IPv4 rules", "IPv6 rules", "IPv4 routes", "IPv6 routes", "settings"} {
		verdict := s.paint(green, "the same")
		if strings.Join(strings.Fields(after[what]), " ") != strings.Join(strings.Fields(before[what]), " ") {
			verdict = s.paint(red, "different")
			s.t.Errorf("%s before:\n%s\nafter flush:\n%s", what, before[what], after[what])
		}
		rows = append(rows, []string{what, verdict})
	}
	verdict := s.paint(green, "none carries a mark")
	if out := s.Router.Run("conntrack", "-L", "-m", fmt.Sprintf("%d/%d", 0, uint32(markMask))); out == "" {
		s.t.Error("no connection is left that could have lost its mark")
	}
	for _, word := range strings.Fields(s.Router.Run("conntrack", "-L")) {
		if mark, ok := strings.CutPrefix(word, "mark="); ok && mark != "0" {
			verdict = s.paint(red, "marked still")
			s.t.Errorf("after flush a connection has mark %s", mark)
		}
	}
	s.grid(append(rows, []string{"connections", verdict}))
	s.say("The port forwarding on the router is somebody else's nftables table: untouched.")
}
