package propose

import (
	"testing"

	"pbr/kernel/facts"
)

func TestRolesByName(t *testing.T) {
	for name, want := range map[string]role{
		"docker0": roleContainers, "br-0123456789ab": roleContainers, "veth1a2b3c4": roleContainers, "vnet7": roleContainers,
		"wg0": roleVPN, "tun0": roleVPN, "zt5u4y": roleVPN,
		"br-lan": roleFree, "br-0123456789abc": roleFree, "br-0123456789aB": roleFree, "veth1a2b3c": roleFree,
		"vethlan0x": roleFree, "eth0": roleFree,
	} {
		t.Run(name, func(t *testing.T) {
			if have := roleOf(facts.Interface{Name: name}, false); have != want {
				t.Errorf("%s, not %s", have, want)
			}
		})
	}
}
