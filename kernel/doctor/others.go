package doctor

import (
	"slices"
	"strings"
)

// others judges what else steers packets on the machine.
func (e *examination) others() {
	e.group = groupOthers
	e.ipRules()
	e.routes()
	e.halfDefaults()
	e.fullTable()
	e.marks()
	e.untracked()
	e.reverseFilters()
	e.containers()
	e.keepalivedRuns()
	e.flushers()
	if t := e.facts.LegacyTables; len(t) > 0 {
		e.add(Warn, "iptables-legacy", "look for marks yourself: iptables-legacy-save | grep -i mark; better move to iptables-nft",
			"has tables (%s), which nftables does not show", strings.Join(t, ", "))
	}
	e.programs()
	e.unknown("ip rules", "routing tables", "routes", "main's half-default routes", "nftables", "iptables-legacy", "programs")
}

// programs judges those that have policy routing of their own.
func (e *examination) programs() {
	running := func(name string) bool { return slices.Contains(e.facts.Programs, name) }
	if n := e.facts.Networkd; running("systemd-network") { // comm has 15 bytes
		var missing []string
		if n.RemovesRules {
			missing = append(missing, "ManageForeignRoutingPolicyRules=no")
		}
		if n.RemovesRoutes {
			missing = append(missing, "ManageForeignRoutes=no")
		}
		if missing == nil {
			e.ok("systemd-networkd", "leaves the rules and routes of others alone")
		} else {
			e.add(Warn, "systemd-networkd", "write [Network] "+strings.Join(missing, " ")+
				" into /etc/systemd/networkd.conf.d/pbr.conf and restart it",
				"removes what pbr made when it restarts")
		}
	}
	if running("mwan3track") || running("mwan3rtmon") {
		e.add(Warn, "mwan3", "stop one of the two: both choose uplinks for the same connections", "runs here")
	}
	if running("NetworkManager") {
		e.ok("NetworkManager", "runs here, and keeps to main where no profile sets route-table or routing-rules")
	}
}
