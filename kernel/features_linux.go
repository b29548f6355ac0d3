package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/facts"
	"pbr/kernel/nft"
	"pbr/kernel/route"
)

// features tries what plans may need in a temporary network namespace, so that the one that packets
// use is not touched. The kernel loads the modules that it needs, as it does when a plan is
// applied.
func features() ([]facts.Feature, error) {
	var out []facts.Feature
	var err error
	apart(func() { // the namespace ends with the thread
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("creating a network namespace to try them in: %w", err)
			return
		}
		out = append(tryNFT(), tryRoutes()...)
	})
	return out, err
}

// feature records the result of a try.
func feature(name facts.FeatureName, err error) facts.Feature {
	f := facts.Feature{Name: name}
	var errno unix.Errno
	switch {
	case errors.As(err, &errno):
		f.Failure = errno.Error() // -- the object existed only for the try
	case err != nil:
		f.Failure = err.Error()
	}
	return f
}

// tryNFT loads small rulesets, one for each feature.
func tryNFT() (out []facts.Feature) {
	c, err := nft.Open()
	if err != nil {
		return []facts.Feature{feature(facts.NFTables, err)}
	}
	defer c.Close()
	for _, t := range trials() {
		err := tryRuleset(c, &t.ruleset)
		out = append(out, feature(t.name, err))
		if t.name == facts.NFTables && err != nil {
			return out // -- the others would fail for the same reason
		}
	}
	_, err = conntrack.Count(0)
	return append(out, feature(facts.ConntrackList, err))
}

func tryRuleset(c *nft.Conn, want *plan.Ruleset) error {
	live, err := c.Read(nil)
	if err != nil {
		return err
	}
	_, err = c.Apply(live, want, plan.Diff(&plan.Plan{Ruleset: live.Ruleset}, &plan.Plan{Ruleset: *want}))
	return err
}

// tryRoutes creates rules and routes and reads them back: old kernels accept what they do not know
// and omit it.
func tryRoutes() (out []facts.Feature) {
	c, err := route.Open()
	if err != nil {
		return []facts.Feature{feature(facts.Rules, err)}
	}
	defer c.Close()
	// pbr recognises its rules by FRA_PROTOCOL, which came with Linux 4.17.
	base := plan.Rule{Family: plan.IPv4, Priority: 1000, Mark: 1, MarkMask: 1, Action: plan.ActLookup, Table: 1000, Protocol: plan.Protocol}
	ports, uid, dscp, rule6 := base, base, base, base
	ports.Proto, ports.DPort = unix.IPPROTO_TCP, plan.PortRange{From: 80, To: 90}
	uid.HasUID = true
	dscp.DSCP = 1 + 46
	rule6.Family = plan.IPv6
	for _, t := range []struct {
		name facts.FeatureName
		rule plan.Rule
	}{{facts.Rules, base}, {facts.RulePorts, ports}, {facts.RuleUID, uid}, {facts.RuleDSCP, dscp}, {facts.Rules6, rule6}} {
		out = append(out, feature(t.name, tryRule(c, t.rule)))
	}
	hops := [2]string{"try0", "try1"}
	if err := c.TwoLinks(hops); err != nil {
		return out // -- nothing to try: every distribution's kernel has multipath routes
	}
	for _, t := range []struct {
		name   facts.FeatureName
		family plan.Family
		dst    string
		via    [2]string
	}{
		{facts.Multipath, plan.IPv4, "0.0.0.0/0", [2]string{"192.0.2.1", "198.51.100.1"}},
		{facts.Multipath6, plan.IPv6, "::/0", [2]string{"fe80::1", "fe80::2"}},
	} {
		r := plan.Route{Table: 1000, Family: t.family, Dst: netip.MustParsePrefix(t.dst), Metric: 1, Kind: plan.Unicast,
			Protocol: plan.Protocol}
		for i, via := range t.via {
			r.Hops = append(r.Hops, plan.Hop{Dev: hops[i], Via: netip.MustParseAddr(via), Weight: i + 1, Onlink: true})
		}
		out = append(out, feature(t.name, tryRoute(c, r)))
	}
	return out
}

var errNotKept = errors.New("the kernel accepts it, but omits a part")

func tryRule(c *route.Conn, r plan.Rule) error {
	if err := c.AddRule(r); err != nil {
		return err
	}
	rules, err := c.AllRules()
	if err == nil && !slices.Contains(rules, r) {
		err = errNotKept
	}
	return errors.Join(err, c.DelRules(ours(rules)))
}

func ours(rules []plan.Rule) []plan.Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r plan.Rule) bool { return r.Priority != 1000 })
}

func tryRoute(c *route.Conn, r plan.Route) error {
	if err := c.SetRoute(r); err != nil {
		return err
	}
	_, routes, err := c.Read(nil, []uint32{r.Table})
	if err == nil && !slices.ContainsFunc(routes, r.Equal) {
		err = errNotKept
	}
	return err
}
