package facts

import (
	"net/netip"

	"pbr/compiler/plan"
)

// Survey is what a machine shows of its network: what a first policy can be written from.
type Survey struct {
	// Links are all interfaces but the loopback, sorted by name.
	Links []Interface `json:"links"`
	// Defaults are main's default routes in the order of their metrics, one for each next hop, IPv4
	// first.
	Defaults []DefaultRoute `json:"defaults"`
	// Tunnelled are the interfaces of main's half-default routes, as VPN programs add them.
	Tunnelled []string `json:"tunnelled,omitempty"`
	// Tables are the routing tables with a default route that ip rules of others lead to, main not
	// among them.
	Tables []uint32 `json:"tables,omitempty"`
	// SourceNAT are from others' nftables tables.
	SourceNAT []SourceNAT `json:"source_nat,omitempty"`
	// Fixed are those of SourceNAT that name an address.
	Fixed []SourceNAT `json:"fixed,omitempty"`
	// Unknown is what could not be examined.
	Unknown []Unknown `json:"unknown,omitempty"`
}

// Interface is one interface of a Survey.
type Interface struct {
	Name string `json:"name"`
	// Kind is the kernel's word: "device", "bridge", "vlan", "wireguard", "tuntap", "ppp", ...
	Kind string `json:"kind"`
	Up   bool   `json:"up"`
	// Carrier reports whether the cable or tunnel is connected.
	Carrier bool `json:"carrier"`
	// Master is the bridge or bond that has this interface as a port.
	Master string `json:"master,omitempty"`
	// Carries are the interfaces above this one, as its VLANs.
	Carries []string `json:"carries,omitempty"`
	// Addresses are the global ones with their network's length.
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	// Leased reports whether an IPv4 address has a limited lifetime, as one from DHCP.
	Leased bool `json:"leased,omitempty"`
}

// DefaultRoute is one next hop of a default route.
type DefaultRoute struct {
	Family plan.Family `json:"family"`
	Dev    string      `json:"dev"`
	// Gateway is invalid on a point-to-point device.
	Gateway netip.Addr `json:"gateway,omitzero"`
	Metric  uint32     `json:"metric"`
	// Learned reports whether DHCP or a router advertisement brought it.
	Learned bool `json:"learned,omitempty"`
}
