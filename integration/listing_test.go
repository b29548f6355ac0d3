package integration

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"pbr/integration/lab"
)

// What pbr owns by default, as its manual says.
const (
	firstPriority = 10000
	lastPriority  = 10999
	ownProtocol   = "112"
)

// ownAddresses finds the members of the sets of own addresses, which are there while a watch runs.
var ownAddresses = regexp.MustCompile(`(set own-[^}]*?)\s*elements = \{[^}]*\}`)

// ours lists everything that pbr may own on a router, in a form that does not depend on the order
// in which it came to be: its nftables table without the counters' values, all ip rules, the routes
// of its protocol.
func (r *router) ours() string {
	r.T().Helper()
	var b strings.Builder
	// Which of its two names a set has says how often it was recreated.
	table := ownAddresses.ReplaceAllString(r.Exec("nft", "-s", "list", "table", "inet", "pbr").Stdout, "$1")
	b.WriteString(sortObjects(strings.ReplaceAll(table, "/alt ", " ")))
	for _, family := range []string{"-4", "-6"} {
		// Rules of one priority are one decision: their order among each other does not matter.
		fmt.Fprintf(&b, "\n# ip %s rule\n%s", family, sortLines(r.Run("ip", family, "rule")))
		fmt.Fprintf(&b, "# ip %s route\n%s", family,
			sortLines(r.Run("ip", "-o", family, "route", "show", "table", "all", "proto", ownProtocol)))
	}
	return b.String()
}

func sortLines(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// objectPattern is one object of a table, as nft lists it.
var objectPattern = regexp.MustCompile(`(?ms)^\t\S[^\n]* \{\n.*?^\t\}\n`)

// sortObjects sorts the objects of a listed table: the kernel lists them in the order of their
// making.
func sortObjects(table string) string {
	objects := objectPattern.FindAllString(table, -1)
	slices.Sort(objects)
	return strings.Join(objects, "")
}

// foreign, too, has each route on one line, also those with several next hops. It lists everything
// on a router that is not pbr's: other tables with their counters, other rules, other routes.
func (r *router) foreign() string {
	r.T().Helper()
	var b strings.Builder
	for _, line := range strings.Split(r.Run("nft", "list", "tables"), "\n") {
		if fields := strings.Fields(line); len(fields) == 3 && line != "table inet pbr" {
			b.WriteString(r.Run("nft", "-a", "list", "table", fields[1], fields[2]))
		}
	}
	for _, family := range []string{"-4", "-6"} {
		for _, line := range strings.SplitAfter(r.Run("ip", family, "rule"), "\n") {
			var priority int
			if _, err := fmt.Sscanf(line, "%d:", &priority); err == nil && (priority < firstPriority || priority > lastPriority) {
				b.WriteString(line)
			}
		}
		for _, line := range strings.SplitAfter(r.Run("ip", "-o", family, "route", "show", "table", "all"), "\n") {
			if !strings.Contains(line, "proto "+ownProtocol+" ") {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// diffLines names the lines that only one of two texts has; empty if there are none.
func diffLines(a, b string) string {
	inA, inB := map[string]int{}, map[string]int{}
	for _, l := range strings.Split(a, "\n") {
		inA[l]++
	}
	for _, l := range strings.Split(b, "\n") {
		inB[l]++
	}
	var out []string
	for _, l := range strings.Split(a, "\n") {
		if inA[l] > inB[l] {
			out = append(out, "- "+l)
			inA[l] = 0
		}
	}
	for _, l := range strings.Split(b, "\n") {
		if inB[l] > inA[l] {
			out = append(out, "+ "+l)
			inB[l] = 0
		}
	}
	if len(out) == 0 && a != b {
		return "the same lines in another order"
	}
	return strings.Join(out, "\n")
}

// bench is a router with two LANs, three providers (the third a tunnel) and no traffic.
func bench(l *lab.Lab) *lab.Net { return lab.Build(l, propertySpec()) }

// twoUplinks is a small policy: everything by the first provider, one host by the second.
const twoUplinks = `
[pbr]
offload = "off"
` + ispsBoth + `[[table]]
name = "prefer-isp2"
routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }]
[default]
routes = [{ uplink = "isp1" }]
[[policy]]
name = "host"
src = ["192.168.10.11", "2001:db8:10::11"]
table = "prefer-isp2"
`

// oneMorePolicy, after twoUplinks, changes one thing.
const oneMorePolicy = `
[[policy]]
name = "another-host"
src = "192.168.10.12"
table = "prefer-isp2"
`
