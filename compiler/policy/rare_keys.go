package policy

// usualKeys are those of policies that have no rare ones.
var usualKeys = &RareKeys{Settle: defaultSettle}

// usual reports whether the file has none of the keys.
func (k *RareKeys) usual() bool {
	lists := len(k.SPort) + len(k.DSCP) + len(k.MAC) + len(k.UID) + len(k.GID) + len(k.Cgroups) + len(k.Units) + len(k.Marks) +
		len(k.ICMP) + len(k.Schedule)
	return lists == 0 && k.ScheduleName == "" && k.SchedulePos == Pos{} && !k.FlushAtStart && !k.FlushAtEnd && k.StrictPos == Pos{} &&
		k.OnReturn == ReturnUnset && k.Settle == defaultSettle && k.CommonKeys == CommonKeys{}
}

// kept returns the keys for a document: a copy, if there are any.
func (k *RareKeys) kept() *RareKeys {
	if k.usual() {
		return usualKeys
	}
	out := *k
	return &out
}
