package propose

import (
	"slices"
	"strings"

	"pbr/kernel/facts"
)

// role is the purpose of an interface, as the comments call it.
type role string

const (
	roleUplink     role = "uplink"
	roleInside     role = "inside"
	roleContainers role = "containers"
	roleVPN        role = "VPN"
	roleFree       role = "free"
	rolePart       role = "part of another interface"
)

// Names that programs give to their interfaces begin so.
var (
	// Docker, libvirt, LXC, LXD, Incus, Podman, CNI, Flannel, Calico.
	containerNames = []string{"docker", "virbr", "lxcbr", "lxdbr", "incusbr", "podman", "cni", "cbr", "flannel", "cali", "vnet"}
	// WireGuard, OpenVPN, Tailscale, ZeroTier, NordVPN, Proton, IPsec.
	vpnNames = []string{"wg", "tun", "tap", "tailscale", "zt", "nordlynx", "proton", "ipsec", "vti", "xfrm"}
)

// container reports whether a program of containers or virtual machines gives that name.
func container(name string) bool {
	return hasPrefix(name, containerNames) || hexadecimal(name, "br-", 12) || hexadecimal(name, "veth", 7)
}

func hasPrefix(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// hexadecimal reports whether name is the prefix and that many digits, which are small letters.
func hexadecimal(name, prefix string, digits int) bool {
	rest, has := strings.CutPrefix(name, prefix)
	return has && len(rest) == digits && strings.Trim(rest, "0123456789abcdef") == ""
}

// tunnelKinds are the kernel's names for interfaces whose far end is reached over another one.
var tunnelKinds = []string{"wireguard", "tuntap", "tun", "ipip", "sit", "ip6tnl", "gre", "ip6gre", "vti", "vti6", "xfrm", "ppp", "vxlan"}

func roleOf(l facts.Interface, isUplink bool) role {
	switch {
	case isUplink:
		return roleUplink
	case l.Master != "":
		return rolePart
	case container(l.Name):
		return roleContainers
	case hasPrefix(l.Name, vpnNames), slices.Contains(tunnelKinds, l.Kind):
		return roleVPN
	case len(l.Addresses) > 0:
		return roleInside
	case len(l.Carries) > 0, l.Kind == "bridge":
		return rolePart
	}
	return roleFree
}

// lineNames are names of tunnels that are lines themselves: PPPoE, mobile modems.
var lineNames = []string{"ppp", "wwan"}

// tunnel reports whether an uplink's interface is a VPN.
func tunnel(l facts.Interface) bool {
	return roleOf(l, false) == roleVPN && !hasPrefix(l.Name, lineNames)
}
