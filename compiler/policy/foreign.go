package policy

import (
	"slices"
	"strings"
)

// foreign is a word of RouterOS, mwan3 or VyOS that people write into a policy file where none of
// pbr's words replaces it by itself.
type foreign struct {
	// words are the foreign ones, hyphened.
	words string
	// sections are where they are known, empty for all; "top" is outside of any.
	sections string
	// needs is a key that the section must have, if any.
	needs string
	// instead says what to write.
	instead string
}

const (
	toUplink  = `write where its connections go: uplink = "NAME", or table = "NAME"`
	toBalance = `write a [[balance]] with members, and balance = "NAME" here`
	toCheck   = `write it into the uplink's check: ` +
		`check = { method = "ping", targets = ["192.0.2.9"], interval = "5s", up-after = 3, down-after = 3 }`
	toMembers = `an [[uplink]] has none: write it where routes or members name the uplink, ` +
		`routes = [{ uplink = "NAME", distance = 2 }], members = [{ uplink = "NAME", weight = 2 }]`
)

// foreignKeys are asked in this order.
var foreignKeys = []foreign{
	{"enabled", "", "disabled", "write disabled = true to switch it off; without that it is enabled"},
	{"sticky", "policy rule", "", "sticky belongs to a [[balance]]"},
	{"passthrough", "policy", "", "not needed: the first match decides"},
	{"src-address-list source-address-list", "", "src", `write src = "@NAME", with the name of a list`},
	{"dst-address-list destination-address-list", "", "dst", `write dst = "@NAME", with the name of a list`},

	{"address-list address-group network-group ipset ipsets", "top", "", `write a list: NAME = ["198.51.100.0/24"] in [lists]`},
	{"route routes static", "top", "", `write a [[table]] with a name, and routes = [{ uplink = "NAME", distance = 1 }]`},
	{"gateway", "top", "", `write an [[uplink]] with interface = "eth0" and gateway = "192.0.2.1"`},
	{"interface interfaces wan", "top", "", `write an [[uplink]] for each way out, with interface = "eth0"`},
	{"nat masquerade snat", "top", "", `write nat = "masquerade" into the [[uplink]]`},
	{"mangle", "top", "", "write a [[policy]] for each rule that marks connections"},
	{"member members load-balancing group groups", "top", "", `write a [[balance]] with members = [{ uplink = "NAME", weight = 2 }]`},
	{"firewall filter", "top", "", "pbr is no firewall: keep what accepts and drops packets in a table of your own"},
	{"fasttrack fasttrack-connection flowtable", "top pbr default", "", `write offload = "unmarked" into [pbr]`},
	{"globals global settings", "top", "", "write [pbr]"},

	{"gateway nexthop via next-hop", "policy", "", toUplink},
	{"new-routing-mark new-connection-mark set-mark ct-mark", "policy", "", toUplink},
	{"per-connection-classifier pcc nth random probability", "policy", "", toBalance},
	{"connection-mark connection-state ct-state state", "policy", "",
		"not needed: a policy sees the first packet of a connection, and the rest follows"},
	{"chain hook table-chain", "policy", "", `not needed: forwarded connections are meant, and the router's own with from = "local"`},
	{"in-interface-list inbound-interface-list", "policy", "", `write the list's interfaces: from = ["eth1", "eth2"]`},
	{"out-interface out-interface-list outbound-interface oif", "policy", "", "not needed: the policy chooses the uplink"},

	{"check-gateway interface-health health-check", "uplink", "", `write check = "ping"`},
	{"track-ip track-method reliability count size interval timeout up down failure-interval " +
		"recovery-interval failure-count success-count resp-time ttl-limit test target targets", "uplink", "", toCheck},
	{"scope target-scope", "uplink table.routes", "", "not needed: a check's targets tell whether what is behind the gateway is reached: " +
		`check = { method = "ping", targets = ["192.0.2.9"] }`},
	{"weight distance metric priority", "uplink", "", toMembers},
}

// suggestKey words a hint for a key that a section of that path does not have.
func suggestKey(path, got string, valid []string) string {
	word, section := hyphened(strings.ToLower(got)), path
	if section == "" {
		section = "top"
	}
	for _, f := range foreignKeys {
		inSection := f.sections == "" || slices.Contains(strings.Fields(f.sections), section)
		if inSection && (f.needs == "" || slices.Contains(valid, f.needs)) && slices.Contains(strings.Fields(f.words), word) {
			return f.instead
		}
	}
	return suggest(got, valid)
}

// suggestAction words a hint for an action that a policy does not have.
func suggestAction(got string) string {
	switch got {
	case "accept", "return", "none", "main":
		return "write default = true instead of action: the connection goes where default leads"
	case "mark-connection", "mark-routing", "lookup", "jump", "route":
		return "instead of action " + toUplink
	}
	return suggest(got, policyActions)
}

// foreignLine words a hint for a line of another program's configuration, empty if it is none.
func foreignLine(line string) string {
	first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch {
	case strings.HasPrefix(first, "/") && len(first) > 1, (first == "add" || first == "set") && strings.Contains(rest, "=") &&
		!strings.HasPrefix(rest, "="):
		return "this is RouterOS's: pbr import routeros FILE makes a policy of an export"
	case (first == "config" || first == "option") && rest != "" && !strings.HasPrefix(rest, "="):
		return "this is OpenWrt's: pbr import mwan3 DIR makes a policy of /etc/config"
	}
	return ""
}

// lineAt returns a line of a text, counted from 1.
func lineAt(text string, n int) string {
	for ; n > 1; n-- {
		_, text, _ = strings.Cut(text, "\n")
	}
	line, _, _ := strings.Cut(text, "\n")
	return line
}
