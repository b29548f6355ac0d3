package facts

// Feature is one thing that a kernel can or cannot do.
type Feature struct {
	Name FeatureName
	// Failure is why it does not work, empty if it does.
	Failure string
}

// FeatureName names a Feature, for people too.
type FeatureName string

// The features that plans may need.
const (
	NFTables      FeatureName = "nf_tables"
	Conntrack     FeatureName = "connection tracking"
	ConntrackList FeatureName = "conntrack netlink"
	Fib           FeatureName = "fib expression"
	Intervals     FeatureName = "interval sets"
	Concat        FeatureName = "sets of several fields"
	RouteChain    FeatureName = "route chain"
	NAT           FeatureName = "NAT chain"
	Masquerade    FeatureName = "masquerade"
	SNAT          FeatureName = "source NAT"
	Log           FeatureName = "log"
	Limit         FeatureName = "limit"
	Hash          FeatureName = "jhash"
	Numgen        FeatureName = "numgen"
	Dynamic       FeatureName = "dynamic maps"
	Flowtable     FeatureName = "flowtable"
	Cgroups       FeatureName = "control groups of sockets"
	Rules         FeatureName = "ip rules"
	Rules6        FeatureName = "IPv6 ip rules"
	RulePorts     FeatureName = "ip rules with ports"
	RuleUID       FeatureName = "ip rules with uids"
	RuleDSCP      FeatureName = "ip rules with DSCP"
	Multipath     FeatureName = "multipath routes"
	Multipath6    FeatureName = "IPv6 multipath routes"
)
