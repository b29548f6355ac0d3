package route

import "pbr/compiler/plan"

// ChangeKind is the kind of a Change.
type ChangeKind uint8

const (
	// LinkChange: an interface was added, deleted, renamed, set up or down, or its carrier changed.
	LinkChange ChangeKind = iota + 1
	// AddressChange: an address was added, deleted, or became usable or unusable.
	AddressChange
	// RouteChange is a change in any table except local.
	RouteChange
	// RuleChange is a change of an ip rule.
	RuleChange
	// SettingChange: somebody wrote settings of an interface, or of all.
	SettingChange
)

// Change is an event from the kernel.
type Change struct {
	Kind ChangeKind
	// Text describes it in a few words, such as "link eth1 lost its carrier".
	Text string
	// Object names the route or rule of a RouteChange or RuleChange.
	Object string
	// Port is the netlink port of the socket that requested the change; 0 if nobody requested it
	// over netlink, as when the kernel itself removes the routes of a link that goes down.
	Port uint32
	// Route and Rule are the objects of a RouteChange and a RuleChange.
	Route plan.Route
	Rule  plan.Rule
	// Settings are the new values of a SettingChange.
	Settings []plan.Sysctl
	// HostFacts means that Conn.HostFacts reports this route.
	HostFacts bool
}
