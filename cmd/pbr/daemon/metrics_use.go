package daemon

import "time"

// Use is what the kernel reports about the policy in force when metrics are requested.
type Use struct {
	// Connections and Bytes are those of the present connections, by uplink; Bytes is empty where
	// the kernel does not count.
	Connections map[string]int
	Bytes       map[string]uint64
	// Hits counts the connections that policies have caught.
	Hits map[string]uint64
	// Clients counts the clients that sticky balances remember, by balance and member.
	Clients map[[2]string]int
	// Active are the uplinks that tables' default routes use, by table and version.
	Active map[[2]string][]string
	// Applied is when the policy in force was applied; zero if unknown.
	Applied time.Time
}

// use adds the kernel's samples; none without them.
func (m *metrics) use(u *Use) {
	if u == nil {
		return
	}
	m.family("uplink_connections", "gauge", "Connections that are pinned to the uplink now.")
	for name, n := range u.Connections {
		m.sample(float64(n), "uplink", name)
	}
	m.family("uplink_connection_bytes", "gauge",
		"Bytes of these connections, both directions; absent where the kernel does not count them.")
	for name, n := range u.Bytes {
		m.sample(float64(n), "uplink", name)
	}
	m.family("policy_hits_total", "counter", "Connections that the policy caught.")
	for name, n := range u.Hits {
		m.sample(float64(n), "policy", name)
	}
	m.family("balance_clients", "gauge", "Clients that a sticky balance remembers for a member.")
	for at, n := range u.Clients {
		m.sample(float64(n), "balance", at[0], "member", at[1])
	}
	m.family("table_active", "gauge", "1 for each uplink that the table's route to everywhere leads through.")
	for at, uplinks := range u.Active {
		for _, name := range uplinks {
			m.sample(1, "table", at[0], "version", at[1], "uplink", name)
		}
	}
	if !u.Applied.IsZero() {
		m.one("policy_applied_time_seconds", "gauge", "When the policy in force was applied, as UNIX time.",
			unixTime(u.Applied.UnixMilli()))
	}
}
