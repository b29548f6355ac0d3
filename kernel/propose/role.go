package propose

import (
	"regexp"
	"slices"

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

// Names that programs give to their interfaces.
var (
	// Docker, libvirt, LXC, LXD, Incus, Podman, CNI, Flannel, Calico.
	containerNames = regexp.MustCompile(
		`^(docker|br-[0-9a-f]{12}$|virbr|lxcbr|lxdbr|incusbr|podman|cni|cbr|flannel|cali|vnet|veth[0-9a-f]{7}$)`)
	// WireGuard, OpenVPN, Tailscale, ZeroTier, NordVPN, Proton, IPsec.
	vpnNames = regexp.MustCompile(`^(wg|tun|tap|tailscale|zt|nordlynx|proton|ipsec|vti|xfrm)`)
)

// tunnelKinds are the kernel's names for interfaces whose far end is reached over another one.
var tunnelKinds = []string{"wireguard", "tuntap", "tun", "ipip", "sit", "ip6tnl", "gre", "ip6gre", "vti", "vti6", "xfrm", "ppp", "vxlan"}

func roleOf(l facts.Interface, isUplink bool) role {
	switch {
	case isUplink:
		return roleUplink
	case l.Master != "":
		return rolePart
	case containerNames.MatchString(l.Name):
		return roleContainers
	case vpnNames.MatchString(l.Name), slices.Contains(tunnelKinds, l.Kind):
		return roleVPN
	case len(l.Addresses) > 0:
		return roleInside
	case len(l.Carries) > 0, l.Kind == "bridge":
		return rolePart
	}
	return roleFree
}

// lineNames are names of tunnels that are lines themselves: PPPoE, mobile modems.
var lineNames = regexp.MustCompile(`^(ppp|wwan)`)

// tunnel reports whether an uplink's interface is a VPN.
func tunnel(l facts.Interface) bool {
	return roleOf(l, false) == roleVPN && !lineNames.MatchString(l.Name)
}
