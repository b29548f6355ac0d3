package daemon

import (
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
)

// Configs returns what to check for each uplink and version: the uplink's check, with the gateways
// of the host facts, and the mark of its pinned table.
func Configs(doc *policy.Document, numbers []plan.Number, host plan.HostFacts) []healthcheck.Config {
	peers := peersOf(doc)
	var configs []healthcheck.Config
	for _, uv := range UplinkVersions(doc) {
		u, family := doc.Uplink(uv.Uplink), plan.Family(uv.Version)
		link := host.Links[u.Interface]
		mark := plan.PinnedMark(numbers, u.Name)
		c := healthcheck.Config{
			UplinkVersion: uv, Interface: u.Interface, Mark: mark, Priority: plan.ProbePriority, Method: string(u.Check.Method),
			IPv4: family == plan.IPv4, IPv6: family == plan.IPv6,
			Targets: targets(u, family), Expect: expected(u.Check),
			Interval: u.Check.Interval, Timeout: u.Check.Timeout, Multiplier: u.Check.Multiplier,
			DownAfter: u.Check.DownAfter, UpAfter: u.Check.UpAfter, Quorum: u.Check.Quorum,
			MaxLoss: u.Check.MaxLoss, MaxRTT: u.Check.MaxRTT, MaxJitter: u.Check.MaxJitter, Over: u.Check.Over,
			Optional: optional(u, link, host, family), Peers: peers[keyOf(uv)],
		}
		if c.Method == "" {
			c.Method = healthcheck.MethodNone
		}
		if family == plan.IPv4 {
			c.Gateway4 = nextHop(u, link, family)
		} else {
			c.Gateway6 = nextHop(u, link, family)
		}
		c.Follows = follows(u, family)
		configs = append(configs, c)
	}
	return configs
}

func sameConfig(a, b healthcheck.Config) bool { return reflect.DeepEqual(a, b) }

// targets returns the uplink's targets that judge a version. A URL with a host name judges IPv4, if
// the uplink carries it.
func targets(u *policy.Uplink, family plan.Family) (list []string) {
	for _, t := range u.Check.Targets {
		judged := plan.IPv4
		switch a := targetAddr(t); {
		case a.IsValid() && a.Is6() || !a.IsValid() && !compiler.Carries(u, plan.IPv4):
			judged = plan.IPv6
		}
		if judged == family {
			list = append(list, t)
		}
	}
	return list
}

// targetAddr is the address that a target is, or has in it; invalid for a host's name.
func targetAddr(target string) netip.Addr {
	if a, err := netip.ParseAddr(target); err == nil {
		return a.Unmap()
	}
	if ap, err := netip.ParseAddrPort(target); err == nil {
		return ap.Addr().Unmap()
	}
	if u, err := url.Parse(target); err == nil {
		if a, err := netip.ParseAddr(strings.Trim(u.Hostname(), "[]")); err == nil {
			return a.Unmap()
		}
	}
	return netip.Addr{}
}

// follows reports whether no target judges a version, so that it follows the other one.
func follows(u *policy.Uplink, family plan.Family) bool {
	if u.Check.Method == policy.CheckNone || u.Check.Method == "" {
		return false
	}
	asks := func(family plan.Family) bool {
		if len(u.Check.Targets) > 0 {
			return len(targets(u, family)) > 0
		}
		gw := compiler.Gateway(u, family)
		return gw.Present && !gw.Link
	}
	other := plan.IPv4
	if family == plan.IPv4 {
		other = plan.IPv6
	}
	return !asks(family) && compiler.Carries(u, other) && asks(other)
}

// peersOf returns the uplinks that could take over from each uplink and version: those that share a
// table or a balance with it, and default's where a policy names the uplink.
func peersOf(doc *policy.Document) map[compiler.UplinkVersion][]string {
	groups, named := uplinkGroups(doc), namedByPolicies(doc)
	var byDefault []string
	if doc.Default != nil {
		byDefault = doc.Default.Uplinks()
	}
	peers := map[compiler.UplinkVersion][]string{}
	for _, l := range UplinkVersions(doc) {
		uv := keyOf(l)
		add := func(group []string) {
			for _, name := range group {
				if name != uv.Uplink && compiler.Carries(doc.Uplink(name), uv.Family) && !slices.Contains(peers[uv], name) {
					peers[uv] = append(peers[uv], name)
				}
			}
		}
		for _, group := range groups {
			if slices.Contains(group, uv.Uplink) {
				add(group)
			}
		}
		if named[uv.Uplink] {
			add(byDefault)
		}
		slices.Sort(peers[uv])
	}
	return peers
}

// uplinkGroups returns the uplinks of each table, default's too, and of each balance.
func uplinkGroups(doc *policy.Document) (groups [][]string) {
	if doc.Default != nil {
		groups = append(groups, doc.Default.Uplinks())
	}
	for i := range doc.Tables {
		groups = append(groups, doc.Tables[i].Uplinks())
	}
	for i := range doc.Balances {
		var members []string
		for _, m := range doc.Balances[i].Members {
			members = append(members, doc.UplinksOf(m.Target)...)
		}
		groups = append(groups, members)
	}
	return groups
}

// namedByPolicies returns the uplinks that policies prefer to default's.
func namedByPolicies(doc *policy.Document) map[string]bool {
	named := map[string]bool{}
	for i := range doc.Policies {
		if p := &doc.Policies[i]; p.Target.Kind == policy.ToUplink && !p.Strict {
			named[p.Target.Name] = true
		}
	}
	return named
}

// setConfigs sends the monitor what to check, if it changed.
func (w *Watcher) setConfigs(initial map[compiler.UplinkVersion]healthcheck.Status) {
	configs := Configs(w.doc, w.want.Numbers, w.host)
	if w.configs != nil && slices.EqualFunc(w.configs, configs, sameConfig) {
		return
	}
	w.configs = configs
	byLine := map[healthcheck.UplinkVersion]healthcheck.Status{}
	for _, s := range initial {
		byLine[s.UplinkVersion] = s
	}
	w.Monitor.Set(configs, byLine)
}

// sendLinks sends the monitor the state of the links.
func (w *Watcher) sendLinks() {
	links := Links(w.doc, w.host)
	for _, uv := range UplinkVersions(w.doc) {
		w.Monitor.Link(uv, links[uv])
	}
	w.health.learnAddresses(w.doc, w.host)
}
