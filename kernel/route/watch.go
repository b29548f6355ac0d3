package route

import "pbr/compiler/plan"

// ChangeKind tells what a Change is of.
type ChangeKind uint8

const (
	// LinkChange: an interface came, went, was renamed, set up or down, or its carrier changed.
	LinkChange ChangeKind = iota + 1
	// AddressChange: an address came, went, or became usable or unusable.
	AddressChange
	// RouteChange is of any table but local.
	RouteChange
	// RuleChange is of an ip rule.
	RuleChange
	// SettingChange: somebody wrote settings of an interface, or of all.
	SettingChange
)

// Change is something that the kernel told of.
type Change struct {
	Kind ChangeKind
	// Text says it in a few words, as "link eth1 lost its carrier".
	Text string
	// Object names the route or rule that a RouteChange and a RuleChange are of.
	Object string
	// Port is the netlink port of the socket over which it was asked for; 0 when it was not asked
	// for over netlink, as when the kernel itself drops the routes of a link that goes down.
	Port uint32
	// Route and Rule are what a RouteChange and a RuleChange are of.
	Route plan.Route
	Rule  plan.Rule
	// Settings are what a SettingChange tells the values of.
	Settings []plan.Sysctl
	// HostFacts tells of a route that Conn.Machine reports it.
	HostFacts bool
}
