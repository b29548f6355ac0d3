package policy

// MayMatch reports whether a policy can match packets of an IP version, 4 or 6, as far as ipv, src
// and dst say so: a list counts as both.
func (p *Policy) MayMatch(version int) bool {
	return (p.IPVersion == 0 || p.IPVersion == version) && mayBe(p.Src, version) && mayBe(p.Dst, version)
}

// mayBe reports whether entries can match addresses of an IP version.
func mayBe(items []AddrItem, version int) bool {
	named := false
	for _, item := range items {
		if item.Not {
			continue
		}
		if named = true; item.List != "" || item.Range.From.Is4() == (version == 4) {
			return true
		}
	}
	return !named
}
