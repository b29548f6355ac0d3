package doctor

import (
	"slices"
	"strings"

	"pbr/compiler/lazy"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/facts"
)

// featureSources say which kernel version, option or module brings a feature.
var featureSources = lazy.Value[map[facts.FeatureName]string]{Make: func() map[facts.FeatureName]string {
	return map[facts.FeatureName]string{
		facts.NFTables:      "CONFIG_NF_TABLES_INET, module nf_tables",
		facts.Conntrack:     "CONFIG_NFT_CT and CONFIG_NF_CONNTRACK_MARK, module nft_ct",
		facts.ConntrackList: "CONFIG_NF_CT_NETLINK, module nf_conntrack_netlink",
		facts.Fib:           "CONFIG_NFT_FIB_INET, module nft_fib_inet",
		facts.Intervals:     "CONFIG_NF_TABLES",
		facts.Concat:        "Linux 5.6 or newer",
		facts.RouteChain:    "CONFIG_NF_TABLES_IPV4 and CONFIG_NF_TABLES_IPV6",
		facts.NAT:           "CONFIG_NFT_NAT, module nft_chain_nat",
		facts.Masquerade:    "CONFIG_NFT_MASQ, module nft_masq",
		facts.SNAT:          "CONFIG_NFT_NAT, module nft_nat",
		facts.Log:           "CONFIG_NFT_LOG and CONFIG_NF_LOG_SYSLOG, modules nft_log and nf_log_syslog",
		facts.Limit:         "CONFIG_NFT_LIMIT, module nft_limit",
		facts.Hash:          "CONFIG_NFT_HASH, module nft_hash",
		facts.Numgen:        "CONFIG_NFT_NUMGEN, module nft_numgen",
		facts.Dynamic:       "CONFIG_NF_TABLES",
		facts.Flowtable:     "CONFIG_NFT_FLOW_OFFLOAD and CONFIG_NF_FLOW_TABLE_INET, modules nft_flow_offload and nf_flow_table_inet",
		facts.Cgroups:       "Linux 5.13 or newer with CONFIG_NFT_SOCKET, module nft_socket",
		facts.Rules:         "CONFIG_IP_MULTIPLE_TABLES and Linux 4.17 or newer",
		facts.Rules6:        "CONFIG_IPV6_MULTIPLE_TABLES",
		facts.RulePorts:     "Linux 4.17 or newer",
		facts.RuleUID:       "Linux 4.10 or newer",
		facts.RuleDSCP:      "Linux 6.13 or newer",
		facts.Multipath:     "CONFIG_IP_ROUTE_MULTIPATH",
		facts.Multipath6:    "CONFIG_IPV6",
	}
}}

// kernel judges what the kernel supports. What the policy does not need may be missing.
func (e *examination) kernel() {
	e.group = groupKernel
	if e.facts.Release != "" {
		e.ok("version", "Linux %s", e.facts.Release)
	}
	var works, idle []string
	needs := e.needs()
	for _, f := range e.facts.Features {
		switch {
		case f.Failure == "":
			works = append(works, string(f.Name))
		case f.Name == facts.Flowtable:
			e.flowtable(f)
		case needs == nil:
			e.add(Warn, string(f.Name), "a policy that uses it needs a kernel with it: "+featureSources.Get()[f.Name],
				"missing: %s", f.Failure)
		case needs[f.Name]:
			e.add(Fail, string(f.Name), "boot a kernel that has it: "+featureSources.Get()[f.Name],
				"missing, and this policy needs it: %s", f.Failure)
		default:
			idle = append(idle, string(f.Name))
		}
	}
	if works != nil {
		e.ok("works", "%s", strings.Join(works, ", "))
	}
	if idle != nil {
		e.ok("missing", "%s: this policy does not need it", strings.Join(idle, ", "))
	}
	e.offloaded()
	e.unknown("kernel version", "kernel features")
	e.cgroups()
}

// offloaded reports which devices forward established connections past the chains.
func (e *examination) offloaded() {
	if e.Want == nil {
		return
	}
	for _, t := range e.Want.Ruleset.Flowtables {
		at := slices.IndexFunc(e.facts.Features, func(f facts.Feature) bool { return f.Name == facts.Flowtable })
		switch {
		case at < 0:
			e.add(Warn, "offload", "run pbr doctor as root", "not checked: whether the kernel has flowtables")
			continue
		case e.facts.Features[at].Failure != "":
			continue // -- reported elsewhere
		}
		how := ""
		if t.Hardware {
			how = ", in hardware"
		}
		e.ok("offload", "between %s%s", few(t.Devices, ", "), how)
	}
}

// flowtable judges a kernel without flowtables.
func (e *examination) flowtable(f facts.Feature) {
	level, do := Warn, "boot a kernel that has it ("+featureSources.Get()[f.Name]+`), or write offload = "off" in [pbr]`
	if e.Doc != nil {
		switch o := e.Doc.Settings.Offload; {
		case o.Mode == policy.OffloadOff:
			e.ok(string(f.Name), `missing, and offload is "off"`)
			return
		case o.Required:
			level = Fail
		}
	}
	e.add(level, string(f.Name), do, "missing: established connections are not offloaded (%s)", f.Failure)
}

// unknown warns of named things that could not be read.
func (e *examination) unknown(what ...string) {
	for _, u := range e.facts.Unknown {
		if slices.ContainsFunc(what, func(w string) bool { return strings.HasPrefix(u.What, w) }) {
			do := "run pbr doctor as root"
			if u.Confined {
				do = "run pbr doctor in a shell of root's: in a service's sandbox it is not permitted"
			}
			e.add(Warn, u.What, do, "not checked: %s", u.Why)
		}
	}
}

// needs are the features that the plan uses; nil without a plan.
func (e *examination) needs() map[facts.FeatureName]bool {
	if e.Want == nil {
		return nil
	}
	n := map[facts.FeatureName]bool{facts.NFTables: true, facts.Conntrack: true, facts.ConntrackList: true, facts.Rules: true}
	for _, r := range e.Want.Rules {
		n[facts.Rules6] = n[facts.Rules6] || r.Family == plan.IPv6
		n[facts.RulePorts] = n[facts.RulePorts] || r.Proto != 0
		n[facts.RuleUID] = n[facts.RuleUID] || r.HasUID
		n[facts.RuleDSCP] = n[facts.RuleDSCP] || r.DSCP != 0
	}
	n[facts.Multipath], n[facts.Multipath6] = e.shares(plan.IPv4), e.shares(plan.IPv6)
	for _, s := range e.Want.Ruleset.Sets {
		n[facts.Intervals] = n[facts.Intervals] || s.Interval && s.Concat == nil
		n[facts.Concat] = n[facts.Concat] || s.Interval && s.Concat != nil
		n[facts.Dynamic] = n[facts.Dynamic] || s.Dynamic
	}
	for _, ch := range e.Want.Ruleset.Chains {
		n[facts.RouteChain] = n[facts.RouteChain] || ch.Kind == "route"
		n[facts.NAT] = n[facts.NAT] || ch.Kind == "nat"
		for i := range ch.Rules {
			needRule(n, &ch.Rules[i])
		}
	}
	return n
}

// featureOf returns the feature of an action that not every kernel has, empty for all others.
func featureOf(a plan.Action) facts.FeatureName {
	switch a.(type) {
	case plan.Masquerade:
		return facts.Masquerade
	case plan.SNAT:
		return facts.SNAT
	case plan.Log:
		return facts.Log
	case plan.Limit:
		return facts.Limit
	case plan.HashVMap:
		return facts.Hash
	case plan.CycleVMap, plan.RandomVMap:
		return facts.Numgen
	}
	return ""
}

func needRule(n map[facts.FeatureName]bool, r *plan.ChainRule) {
	for _, m := range r.Matches {
		n[facts.Cgroups] = n[facts.Cgroups] || m.Field.CgroupLevel() > 0
		switch m.Field {
		case plan.FieldFibSAddrType, plan.FieldFibDAddrType, plan.FieldFibSAddrOIFType:
			n[facts.Fib] = true
		}
	}
	for _, a := range r.Actions {
		if name := featureOf(a); name != "" {
			n[name] = true
		}
	}
}

// shares reports whether the plan has routes with several next hops.
func (e *examination) shares(family plan.Family) bool {
	return slices.ContainsFunc(e.Want.Routes, func(r plan.Route) bool { return r.Family == family && len(r.Hops) > 1 })
}
