package from

import "slices"

// Origin is where something comes from.
type Origin struct {
	File    string
	Line    int
	Comment string
}

// Draft is a policy file in the making.
type Draft struct {
	// Sysctl is [pbr] sysctl: without it, this machine may not forward.
	Sysctl bool
	// Offload is [pbr] offload, empty for the default.
	Offload string
	// OnFailover is [pbr] on-failover, empty for the default.
	OnFailover string
	Lists      []*List
	Uplinks    []*Uplink
	Tables     []*Table
	Default    *Table
	Balances   []*Balance
	Policies   []*Policy
	Rules      []*Rule
}

// Route adds what makes this machine a router, as system, where the configuration is from, is one
// without a word of it, and returns the note about it.
func (d *Draft) Route(system string) (note string) {
	d.Sysctl = true
	return "added: [pbr] sysctl = true: " + system + " forwards packets, Linux does so only if told to; it also sets rp_filter " +
		"for several uplinks"
}

// Unprotected says that a firewall is not carried over, of what, empty if this machine does not
// forward.
func (d *Draft) Unprotected(what string) string {
	if !d.Sysctl {
		return ""
	}
	return what + " is not carried over: pbr is no firewall, and with sysctl = true this machine forwards whatever arrives, " +
		"also from the uplinks to hosts inside: load an nftables table of your own that refuses the same before pbr apply"
}

// tellsForward reports whether the file has to say that a router is one: forward = "auto" does not
// find that out where all policies are for the router's own packets, and no uplink has NAT.
func (d *Draft) tellsForward() bool {
	own := func(p *Policy) bool { return slices.Contains(p.Keys, Key{"from", `"local"`}) }
	translates := func(u *Uplink) bool { return u.NAT != "" && u.NAT != "none" || u.NAT6 != "" && u.NAT6 != "none" }
	return len(d.Policies) > 0 && !slices.ContainsFunc(d.Policies, func(p *Policy) bool { return !own(p) }) &&
		!slices.ContainsFunc(d.Uplinks, translates)
}

// List is an entry of [lists].
type List struct {
	Name    string
	Entries []Entry
	Origin  Origin
}

// Entry is an address, prefix or range of a list.
type Entry struct {
	Text    string
	Comment string
}

// Uplink is an [[uplink]]; empty fields are omitted.
type Uplink struct {
	Name, Interface   string
	Gateway, Gateway6 string
	NAT, NAT6         string
	Check             *Check
	Origins           []Origin
}

// Check is an uplink's check; zero fields are omitted.
type Check struct {
	Method                     string
	Targets                    []string
	Interval, Timeout          string
	DownAfter, UpAfter, Quorum int
	MaxLoss, MaxRTT            string
}

// Table is a [[table]], or [default].
type Table struct {
	Name    string
	Strict  bool
	Routes  []Route
	Origins []Origin
}

// ClosedRoute returns the only route of a strict table that lets nothing through: it leads to a
// destination that no policy ever sees.
func ClosedRoute(uplink string) Route {
	return Route{Uplink: uplink, Dst: "255.255.255.255/32", Comment: "to nobody: the table only closes"}
}

// Route is one entry of a table's routes. Distance and Weight 0 are omitted.
type Route struct {
	Uplink           string
	Distance, Weight int
	Dst              string
	Comment          string
}

// Balance is a [[balance]].
type Balance struct {
	Name, Method string
	Hash         []string
	Members      []Member
	Sticky       string
	Origins      []Origin
}

// Member is one of a balance's: a table or an uplink.
type Member struct {
	Table, Uplink string
	Weight        int
}

// Key is a key with its value as TOML writes it.
type Key struct{ Name, Value string }

// Policy is a [[policy]]: its selectors, and Target, as Key{"table", `"to-isp1"`}.
type Policy struct {
	Name    string
	Keys    []Key
	Target  Key
	Log     bool
	Origins []Origin
}

// Rule is a [[rule]].
type Rule struct {
	Name    string
	Keys    []Key
	Origins []Origin
}
