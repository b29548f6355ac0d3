package routeros

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/from"
)

// config is what routing needs of an export.
type config struct {
	opts  from.Options
	notes []string
	all   []*statement

	// alias has the names that interfaces were given, by the names they had.
	alias   map[string]string
	renamed *interfaceNames

	addresses []address
	clients   []*client
	// declared are the routing tables by name.
	declared map[string]*statement
	routes   []*route
	rules    []*statement
	mangle   []*statement
	nat      []*statement
	filters  []*statement
	// refusals counts the filter rules that refuse packets.
	refusals int
	lists    map[string]*list
	ordered  []*list
	groups   map[string]*group
	// learned are address lists that mangle rules fill.
	learned map[string][]*statement
	// lines are the uplinks, by interface.
	lines     map[string]*line
	lineOrder []*line
	// inhabited are interfaces with clients behind them: those with a DHCP server, and the members
	// of the list LAN.
	inhabited map[string]bool
	// six reports whether anything of the export is about IPv6, nated whether it says anything of
	// source NAT.
	six, nated bool
}

// address is an interface's address.
type address struct {
	st    *statement
	iface string
	// network holds the gateways on the link.
	network netip.Prefix
	addr    netip.Addr
}

// client is an interface that learns its default route: by DHCP, or a point-to-point client.
type client struct {
	st       *statement
	iface    string
	six, ptp bool
	// adds reports whether it makes a default route.
	adds     bool
	distance int
}

// list is an address list.
type list struct {
	name    string
	st      *statement
	entries []from.Entry
	sources []*statement
	// partial has why an entry is missing: then everything that selects by the list's absence
	// selects too much.
	partial string
}

// group is an interface list.
type group struct {
	members          []string
	include, exclude []string
}

// readerOf reads a section that a policy is made of; nil for others.
func readerOf(section string) func(*config, *statement) {
	switch section {
	case "ip address", "ipv6 address":
		return (*config).readAddress
	case "ip dhcp-client", "ipv6 dhcp-client":
		return (*config).readDHCP
	case "interface list":
		return (*config).readGroup
	case "interface list member":
		return (*config).readMember
	case "interface ethernet":
		return (*config).readEthernet
	case "interface pppoe-client", "interface l2tp-client", "interface sstp-client", "interface ovpn-client", "interface pptp-client":
		return (*config).readPPP
	case "routing table":
		return (*config).readTable
	case "ip route", "ipv6 route":
		return (*config).readRoute
	case "ip route rule", "ipv6 route rule", "routing rule":
		return (*config).readRule
	case "ip firewall address-list", "ipv6 firewall address-list":
		return (*config).readListEntry
	case "ip firewall mangle", "ipv6 firewall mangle":
		return (*config).readMangle
	case "ip firewall nat", "ipv6 firewall nat":
		return (*config).readNAT
	case "ip firewall filter", "ipv6 firewall filter":
		return (*config).readFilter
	}
	return nil
}

// told says of a section whose statements are reported one by one why they are omitted.
func told(section string) string {
	switch section {
	case "ip vrf", "ip route vrf":
		return "pbr has no VRFs: make the VRF on the system, outside of pbr"
	case "interface wireguard peers":
		return "the tunnel itself is the system's: allowed-address makes no route there, name the tunnel as an uplink and " +
			"give it policies (docs/vpn.md)"
	case "system script", "system scheduler":
		return "scripts are not run: see whether it changes routes, and use a check of the uplink or a hook of pbr watch instead"
	case "tool netwatch":
		return "hosts are watched by the check of an uplink (check = { method = \"ping\", targets = [...] })"
	case "ip firewall raw", "ipv6 firewall raw":
		return "raw rules come before connection tracking, pbr does not: keep them in an nftables table of your own"
	}
	return ""
}

func newConfig(opts from.Options, all []*statement) *config {
	c := &config{opts: opts, all: all, alias: map[string]string{}, declared: map[string]*statement{}, lists: map[string]*list{},
		groups: map[string]*group{}, inhabited: map[string]bool{}, learned: map[string][]*statement{}}
	for _, s := range all {
		if s.section == "interface ethernet" || strings.HasPrefix(s.section, "interface ") && s.verb == "set" {
			c.readName(s)
		}
	}
	c.renamed = newInterfaceNames(c, opts.Rename)
	for _, s := range all {
		c.read(s)
		if s.section == "ip dhcp-server" && s.verb == "add" && s.Outcome() != from.Disabled {
			c.inhabited[c.iface(s.get("interface"))] = true
		}
	}
	return c
}

// read gathers one statement.
func (c *config) read(s *statement) {
	read, why := readerOf(s.section), told(s.section)
	switch {
	case s.section == "":
		s.Drop("not a command of RouterOS")
	case s.has("disabled", "yes") || s.has("disabled", "true") || s.flag("disabled"):
		s.Disable()
	case read == nil && why == "":
		s.Ignore()
	case s.verb == "print" || s.verb == "find" || s.verb == "export" || s.verb == "monitor" || s.verb == "get":
		s.Ignore()
	case s.verb != "add" && s.section != "interface ethernet":
		s.Drop("only objects that add creates are imported: export the configuration again, so that it contains this")
	case read == nil:
		s.DropSevere(why)
	default:
		c.six = c.six || strings.HasPrefix(s.section, "ipv6 ") && !s.has("address", "") || s.section == "ipv6 route"
		read(c, s)
	}
}

// readName learns that an interface was given a name.
func (c *config) readName(s *statement) {
	name := s.get("name")
	for _, f := range s.find {
		if name != "" && name != f.value && (f.key == "default-name" || f.key == "name") {
			c.alias[f.value] = name
		}
	}
}

func (c *config) readEthernet(s *statement) {
	if s.get("name") != "" && len(s.find) > 0 {
		s.Merge("later statements use the name " + s.get("name"))
		return
	}
	s.Ignore()
}

// iface is an interface's name in the policy.
func (c *config) iface(name string) string {
	for range len(c.alias) { // a name that another interface had before does not lead in circles
		next, ok := c.alias[name]
		if !ok {
			break
		}
		name = next
	}
	return c.renamed.get(name)
}

func (c *config) readAddress(s *statement) {
	text, name := s.get("address"), s.get("interface")
	if text == "" || name == "" || strings.HasPrefix(name, "*") {
		s.Ignore()
		return
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil {
			s.Drop("its address cannot be read")
			return
		}
		p = netip.PrefixFrom(a, a.BitLen())
		if mask, err := netip.ParseAddr(s.get("netmask")); err == nil {
			p = netip.PrefixFrom(a, maskBits(mask))
		}
	}
	c.addresses = append(c.addresses, address{st: s, iface: c.iface(name), network: linkNetwork(s, p), addr: p.Addr()})
	s.Merge("addresses belong to the system; this one shows where gateways are")
}

// linkNetwork is the network on the link: that of the address, or of the far end.
func linkNetwork(s *statement, p netip.Prefix) netip.Prefix {
	far, err := netip.ParseAddr(s.get("network"))
	if err == nil && p.IsSingleIP() {
		return netip.PrefixFrom(far, far.BitLen())
	}
	return p.Masked()
}

func maskBits(mask netip.Addr) int {
	n := 0
	for _, b := range mask.AsSlice() {
		for ; b&0x80 != 0; b <<= 1 {
			n++
		}
	}
	return n
}

func (c *config) readDHCP(s *statement) {
	cl := &client{st: s, iface: c.iface(s.get("interface")), six: strings.HasPrefix(s.section, "ipv6"),
		distance: min(max(s.number("default-route-distance", 1), 1), mostDistance)}
	add := s.get("add-default-route")
	cl.adds = add != "no" && (add != "" || !cl.six)
	if s.get("interface") == "" {
		s.Drop("it names no interface")
		return
	}
	if s.get("script") != "" {
		s.Change("its script is not run: gateway = \"auto\" follows the lease by itself; look for routes, " +
			"NAT or rules that the script makes")
	}
	c.clients = append(c.clients, cl)
	if !cl.adds && s.get("script") == "" {
		s.Merge("it makes no default route")
	}
}

func (c *config) readPPP(s *statement) {
	name := s.get("name")
	if name == "" {
		s.Drop("it has no name")
		return
	}
	cl := &client{st: s, iface: c.iface(name), ptp: true, adds: s.has("add-default-route", "yes"),
		distance: min(max(s.number("default-route-distance", 1), 1), mostDistance)}
	c.clients = append(c.clients, cl)
	if !cl.adds {
		s.Merge("the session is the system's; it makes no default route")
	}
}

func (s *statement) number(key string, absent int) int {
	n, err := strconv.Atoi(s.get(key))
	if err != nil || n < 0 {
		return absent
	}
	return n
}

func (c *config) group(name string) *group {
	if c.groups[name] == nil {
		c.groups[name] = &group{}
	}
	return c.groups[name]
}

func (c *config) readGroup(s *statement) {
	g := c.group(s.get("name"))
	g.include = append(g.include, commas(s.get("include"))...)
	g.exclude = append(g.exclude, commas(s.get("exclude"))...)
	s.Merge("its members are written where it is used")
}

func (c *config) readMember(s *statement) {
	name := s.get("interface")
	if strings.HasPrefix(name, "*") {
		s.Drop("the interface " + name + " was deleted on the router")
		return
	}
	g := c.group(s.get("list"))
	g.members = append(g.members, c.iface(name))
	if strings.EqualFold(s.get("list"), "lan") {
		c.inhabited[c.iface(name)] = true
	}
	s.Merge("its members are written where the list is used")
}

// members are a list's interfaces; ok is false for a list that nobody can spell out.
func (c *config) members(name string, depth int) (out []string, ok bool) {
	if name == "all" || name == "dynamic" || depth > 16 || c.groups[name] == nil && name != "none" {
		return nil, false
	}
	if name == "none" || name == "static" {
		return nil, name == "none"
	}
	g := c.groups[name]
	out = slices.Clone(g.members)
	for _, inner := range g.include {
		more, ok := c.members(inner, depth+1)
		if !ok {
			return nil, false
		}
		out = append(out, more...)
	}
	for _, inner := range g.exclude {
		less, ok := c.members(inner, depth+1)
		if !ok {
			return nil, false
		}
		out = slices.DeleteFunc(out, func(i string) bool { return slices.Contains(less, i) })
	}
	return out, true
}

func (c *config) readTable(s *statement) {
	name := s.get("name")
	if name == "" || name == "main" {
		s.Merge("the main table is [default]")
		return
	}
	c.declared[name] = s
}

func (c *config) readRule(s *statement) { c.rules = append(c.rules, s) }

func (c *config) readMangle(s *statement) { c.mangle = append(c.mangle, s) }

func (c *config) readNAT(s *statement) { c.nat = append(c.nat, s) }

func (c *config) readFilter(s *statement) {
	if s.has("action", "fasttrack-connection") {
		c.filters = append(c.filters, s)
		return
	}
	if s.has("action", "drop") || s.has("action", "reject") || s.has("action", "tarpit") {
		c.refusals++
	}
	s.Ignore()
}

func commas(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// interfaceNames gives interfaces the names that the policy uses.
type interfaceNames struct {
	rename map[string]string
	// before has the names that interfaces had before they were given their own.
	before map[string]string
	given  map[string]string
	names  *from.Names
	// odd are those that could not keep their name; used are the names of --map that the export
	// has.
	odd  []string
	used map[string]bool
}

func newInterfaceNames(c *config, rename map[string]string) *interfaceNames {
	n := &interfaceNames{rename: rename, before: map[string]string{}, given: map[string]string{}, names: from.NewInterfaces(),
		used: map[string]bool{}}
	for old, name := range c.alias {
		n.before[name] = old
	}
	return n
}

func (n *interfaceNames) get(name string) string {
	if given, ok := n.given[name]; ok {
		return given
	}
	want := name
	for _, known := range []string{n.before[name], name} {
		if other, ok := n.rename[known]; ok {
			want, n.used[known] = other, true
		}
	}
	given := n.names.Give(want)
	if given != want {
		n.odd = append(n.odd, name)
	}
	n.given[name] = given
	return given
}
