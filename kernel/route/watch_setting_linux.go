package route

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// Attributes and interfaces of a netconf message (linux/netconf.h). The kernel reports few settings
// this way: not src_valid_mark, accept_local or fib_multipath_hash_policy.
const (
	netconfIfindex  = 1
	netconfAll      = -1
	netconfDefault  = -2
	sizeofNetconf   = 4 // -- struct netconfmsg, a family, and padding before the attributes
	netconfForward  = 2
	netconfRPFilter = 3
	netconfLinkdown = 6
)

var netconfNames = map[uint16]string{netconfForward: "forwarding", netconfRPFilter: "rp_filter",
	netconfLinkdown: "ignore_routes_with_linkdown"}

// setting decodes the event that somebody wrote a setting. A message with several settings is about
// a new interface, which another message reports.
func (w *Watcher) setting(b []byte) (c Change, ok bool, err error) {
	if len(b) < sizeofNetconf {
		return c, false, fmt.Errorf("netconf message of %d bytes", len(b))
	}
	attrs, err := parseAttrs(b[sizeofNetconf:])
	if err != nil {
		return c, false, err
	}
	if len(attrs) != 2 { // the interface and one setting
		return c, false, nil
	}
	family := map[uint8]string{unix.AF_INET: "ipv4", unix.AF_INET6: "ipv6"}[b[0]]
	iface := ""
	for _, a := range attrs {
		if a.typ == netconfIfindex {
			iface = w.settingOf(int32(a.u32(0)))
		}
	}
	if family == "" || iface == "" {
		return c, false, nil
	}
	c.Kind, c.Text = SettingChange, fmt.Sprintf("settings of net/%s/conf/%s", family, iface)
	for _, a := range attrs {
		name := netconfNames[a.typ]
		if name == "" {
			continue
		}
		value := strconv.Itoa(int(int32(a.u32(0))))
		c.Settings = append(c.Settings, plan.Sysctl{Path: fmt.Sprintf("net/%s/conf/%s/%s", family, iface, name), Value: value})
		if family == "ipv4" && iface == "all" && a.typ == netconfForward {
			c.Settings = append(c.Settings, plan.Sysctl{Path: "net/ipv4/ip_forward", Value: value})
		}
	}
	return c, len(c.Settings) > 0, nil
}

// settingOf returns an interface's directory below conf.
func (w *Watcher) settingOf(index int32) string {
	switch index {
	case netconfAll:
		return "all"
	case netconfDefault:
		return "default"
	}
	return w.names.linkName(uint32(index))
}
