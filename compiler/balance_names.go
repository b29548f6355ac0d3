package compiler

import "pbr/compiler/plan"

// UsableMembersSet names the set that has the marks of a balance's members that connections of a
// family can use; strict policies have one of their own.
func UsableMembersSet(balance string, strict bool, family plan.Family) string {
	return usableMembersSet(balance, strict, family)
}

// ClientsMap names the map from a sticky balance's clients to the marks of their members.
func ClientsMap(balance string, family plan.Family) string { return clientsMap(balance, family) }

// FullCounter names the counter of connections whose client a sticky balance had no room for.
func FullCounter(balance string) string { return fullCounter(balance) }
