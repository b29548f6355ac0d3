package mwan3

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/from"
	"pbr/compiler/sorting"
)

// uplink is one in the making: a device, which may be an interface of each IP version.
type uplink struct {
	*from.Uplink
	by      []*section
	carries [2]bool
	// metric is the network's, by IP version.
	metric [2]int
	// reliability and targets are how many targets of each IP version have to answer, of how many.
	reliability, targets [2]int
}

// most is the largest metric.
const most = 1 << 30

// buildUplinks makes an uplink of each device.
func (b *builder) buildUplinks() {
	byDevice := map[string]*uplink{}
	flushes := 0
	for _, s := range b.order {
		if s.get("enabled", "0") != "1" {
			s.Disable()
			continue
		}
		device := b.deviceOf(s)
		u := byDevice[device]
		if u == nil {
			u = &uplink{Uplink: &from.Uplink{Name: b.names.Give(s.name), Interface: device}, metric: [2]int{most, most}}
			byDevice[device] = u
			b.lines = append(b.lines, u)
			b.draft.Uplinks = append(b.draft.Uplinks, u.Uplink)
		}
		u.by = append(u.by, s)
		b.uplinks[s.name] = u
		b.addGateway(u, s)
		b.addCheck(u, s)
		u.Origins = append(u.Origins, b.origin(s))
		s.Import("uplink " + u.Name)
		if flush := s.all("flush_conntrack"); slices.ContainsFunc(flush,
			func(w string) bool { return w == "ifdown" || w == "disconnected" || w == "always" }) {
			flushes++
		}
	}
	if len(b.lines) > 0 && flushes == 0 {
		b.draft.OnFailover = "keep"
	}
	six := slices.ContainsFunc(b.lines, func(u *uplink) bool { return u.carries[1] })
	for _, u := range b.lines {
		u.setQuorum()
		if u.Gateway == "link" && (u.Gateway6 == "link" || !six) {
			u.Gateway, u.Gateway6 = "", ""
		}
		if flushes > 0 {
			for _, s := range u.by {
				if len(s.all("flush_conntrack")) == 0 {
					s.Change("flush_conntrack of another interface counts for this one, too ([pbr] on-failover)")
				}
			}
		}
	}
}

// version is the index of an interface's IP version.
func version(s *section) int {
	if s.get("family", "ipv4") == "ipv6" {
		return 1
	}
	return 0
}

// deviceOf is the device of an interface of mwan3's. --map may name either.
func (b *builder) deviceOf(s *section) string {
	device, why := b.networkDevice(s.name, 0)
	if why != "" {
		s.Change(why)
	}
	if _, named := b.opts.Rename[device]; !named && b.opts.Rename[s.name] != "" {
		return b.device(s.name)
	}
	return b.device(device)
}

// networkDevice is the device of an interface of the network's.
func (b *builder) networkDevice(name string, depth int) (device, why string) {
	n := b.logical[name]
	if n == nil || depth > 8 {
		return name, fmt.Sprintf(
			"the network file has no interface '%s': the policy takes that for the device's name, --map "+
				"%s=NAME gives it another one", name, name)
	}
	device = n.get("device", n.get("ifname", ""))
	proto := n.get("proto", "none")
	switch proto {
	case "pppoe", "pppoa", "ppp", "pptp", "l2tp", "6in4", "6rd", "6to4", "3g":
		return proto + "-" + name, ""
	case "wireguard":
		return name, ""
	case "gre", "gretap":
		return "gre4-" + name, ""
	}
	first, _, _ := strings.Cut(device, " ")
	switch {
	case strings.HasPrefix(device, "@"):
		return b.networkDevice(device[1:], depth+1)
	case n.get("type", "") == "bridge":
		return "br-" + name, ""
	case device == "" || strings.HasPrefix(device, "/dev/"):
		return name, fmt.Sprintf(
			"the network file names no device of interface '%s': the policy takes that name, --map %s=NAME "+
				"gives it another one", name, name)
	}
	return first, ""
}

// addGateway gives an uplink the gateway of one IP version.
func (b *builder) addGateway(u *uplink, s *section) {
	v := version(s)
	u.carries[v] = true
	text := &u.Gateway
	if v == 1 {
		text = &u.Gateway6
	}
	n := b.logical[s.name]
	if n == nil {
		*text, u.metric[v] = "auto", min(u.metric[v], 0)
		return
	}
	n.Merge("the device and the gateway of uplink " + u.Name)
	if proto := n.get("proto", "none"); proto != "wireguard" && proto != "none" &&
		n.get("defaultroute", "1") != "0" { // these make no default route
		u.metric[v] = min(u.metric[v], n.number("metric", 0, 0, most-1))
	}
	key := [2]string{"gateway", "ip6gw"}[v]
	switch proto := n.get("proto", "none"); {
	case proto == "static" && validGateway(n.get(key, ""), v):
		*text = n.get(key, "")
	case proto == "static":
		*text = "link"
		s.Change("the network file has no " + key + " of it: the uplink is a device route")
	case slices.Contains([]string{"dhcp", "dhcpv6", "qmi", "ncm", "mbim", "modemmanager"}, proto):
		*text = "auto"
	default:
		*text = "link"
	}
}

func validGateway(text string, v int) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Is6() == (v == 1) && !a.Is4In6() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}

// Defaults of mwan3track.
const (
	defaultInterval = 10
	defaultTimeout  = 4
	defaultDown     = 5
	defaultUp       = 5
)

// addCheck makes an interface's tracking part of its uplink's check.
func (b *builder) addCheck(u *uplink, s *section) {
	targets := s.all("track_ip")
	method := s.get("track_method", "ping")
	if len(targets) == 0 {
		return
	}
	c := u.Check
	if c == nil {
		c = &from.Check{Method: "ping", Interval: seconds(s.number("interval", defaultInterval, 1, 3600)),
			Timeout:   seconds(s.number("timeout", defaultTimeout, 1, 60)),
			DownAfter: s.number("down", defaultDown, 1, 1000), UpAfter: s.number("up", defaultUp, 1, 1000)}
	}
	switch method {
	case "ping":
	case "arping":
		c.Method = "arp"
	default:
		s.Change(fmt.Sprintf("track_method %s is a ping here", method))
	}
	before := len(c.Targets)
	for _, t := range targets {
		a, err := netip.ParseAddr(t)
		if err != nil || !validGateway(t, version(s)) {
			s.Change(fmt.Sprintf("track_ip %s is not an address of the interface's IP version, and is skipped", t))
			continue
		}
		if !slices.Contains(c.Targets, a.String()) {
			c.Targets = append(c.Targets, a.String())
		}
	}
	if len(c.Targets) == 0 {
		return
	}
	u.Check = c
	v := version(s)
	u.targets[v] += len(c.Targets) - before
	u.reliability[v] = s.number("reliability", 1, 1, 1000)
	if n := u.targets[v]; u.reliability[v] > n {
		s.Change(fmt.Sprintf("reliability is %d, and there are %d targets", u.reliability[v], n))
		u.reliability[v] = max(n, 1)
	}
	b.tellCheck(s)
	b.addQuality(c, s)
}

// setQuorum makes one quorum of the reliabilities: it counts within an IP version, and is the same
// for both.
func (u *uplink) setQuorum() {
	q := max(u.reliability[0], u.reliability[1])
	for v, n := range u.targets {
		if n > 0 {
			q = min(q, n)
		}
		if u.reliability[v] > 0 && u.reliability[v] != q || u.reliability[1-v] > 0 && u.reliability[1-v] != q {
			for _, s := range u.by {
				s.Change("the quorum of an uplink is the same for both IP versions")
			}
		}
	}
	if u.Check != nil && q > 1 {
		u.Check.Quorum = q
	}
}

// tellCheck tells of what tracking has and checks have not.
func (b *builder) tellCheck(s *section) {
	for _, key := range []string{"failure_interval", "recovery_interval", "keep_failure_interval", "size", "max_ttl",
		"count", "httping_ssl"} {
		if v := s.get(key, ""); v != "" && !(key == "count" && v == "1") && v != "0" {
			s.Change(key + " has no equal: every round is alike here")
		}
	}
}

// addQuality makes loss and latency limits of a check.
func (b *builder) addQuality(c *from.Check, s *section) {
	if s.get("check_quality", "0") != "1" {
		return
	}
	c.MaxLoss = strconv.Itoa(s.number("failure_loss", 40, 1, 100)) + "%"
	c.MaxRTT = strconv.Itoa(s.number("failure_latency", 1000, 1, 60000)) + "ms"
	s.Change("check_quality: loss and latency are looked at over the last 20 rounds, " +
		"and only new connections avoid a bad line (max-loss, max-rtt)")
}

func seconds(n int) string {
	if n >= 60 && n%60 == 0 {
		return strconv.Itoa(n/60) + "m"
	}
	return strconv.Itoa(n) + "s"
}

// buildDefault makes [default] of the network's metrics: what no rule catches goes by main.
func (b *builder) buildDefault() {
	if len(b.lines) == 0 {
		return
	}
	t := &from.Table{}
	for _, n := range b.logical {
		t.Origins = []from.Origin{{File: n.File, Line: 1, Comment: "by the metrics of its interfaces"}}
	}
	for v := range 2 {
		sorted := slices.Clone(b.lines)
		sorting.Func(sorted, func(x, y *uplink) int { return x.metric[v] - y.metric[v] })
		distance := 0
		for _, u := range sorted {
			if !u.carries[v] || u.metric[v] == most {
				continue
			}
			distance++
			addWay(t, u, v, distance, 0)
		}
	}
	if len(t.Routes) > 0 {
		b.draft.Default = t
	}
}

// addWay adds a route of one IP version. One without dst is for both.
func addWay(t *from.Table, u *uplink, v, distance, weight int) {
	dst := ""
	if u.carries[1-v] {
		dst = [2]string{"0.0.0.0/0", "::/0"}[v]
	}
	for i := range t.Routes {
		switch r := &t.Routes[i]; {
		case r.Uplink != u.Name:
		case r.Dst == dst || r.Dst == "":
			return // the uplink is there already, with a lower metric or the same
		case v == 1 && r.Distance == distance && r.Weight == weight:
			r.Dst = ""
			return
		}
	}
	t.Routes = append(t.Routes, from.Route{Uplink: u.Name, Distance: distance, Weight: weight, Dst: dst})
}
