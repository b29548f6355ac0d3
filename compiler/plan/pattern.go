package plan

import "strings"

// NamesInterface reports whether a name, which may end in "*" for any rest, means an interface. So
// policies and nft write it.
func NamesInterface(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// TableFamily is the IP version that an nftables table of a family sees, as of "ip filter"; 0 for
// both.
func TableFamily(table string) Family {
	switch word, _, _ := strings.Cut(table, " "); word {
	case "ip":
		return IPv4
	case "ip6":
		return IPv6
	}
	return 0
}
