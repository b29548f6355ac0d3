package plan

import "strings"

// Setting is what the path of a sysctl names: net/ipv4/conf/eth1/rp_filter is eth1's rp_filter.
type Setting struct {
	Family Family
	// Interface is empty for a setting of the whole machine; "all" and "default" are the kernel's.
	Interface string
	Name      string
}

// SettingOf reads the path of a sysctl below net/ipv4 or net/ipv6.
func SettingOf(path string) Setting {
	parts := strings.Split(path, "/")
	s := Setting{Family: IPv4, Name: parts[len(parts)-1]}
	if len(parts) > 1 && parts[1] == "ipv6" {
		s.Family = IPv6
	}
	if len(parts) == 5 && parts[2] == "conf" {
		s.Interface = parts[3]
	}
	return s
}
