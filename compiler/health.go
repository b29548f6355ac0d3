package compiler

import (
	"fmt"
	"strings"

	"pbr/compiler/plan"
)

// UplinkVersion is an uplink in one IP version. Its variables are called uv.
type UplinkVersion struct {
	Uplink string
	Family plan.Family
	// Table is set for an uplink that one table passes over, for a quicker one of equal distance.
	Table string
}

// MarshalText makes it a key of JSON, as "isp1/4", or "isp1/4/default". A user's name cannot
// contain "/".
func (l UplinkVersion) MarshalText() ([]byte, error) {
	text := fmt.Appendf(nil, "%s/%d", l.Uplink, l.Family)
	if l.Table != "" {
		text = fmt.Appendf(text, "/%s", l.Table)
	}
	return text, nil
}

// UnmarshalText is the inverse. The key of earlier releases, without a version, is of Family 0.
func (l *UplinkVersion) UnmarshalText(text []byte) error {
	name, rest, _ := strings.Cut(string(text), "/")
	version, table, _ := strings.Cut(rest, "/")
	l.Uplink, l.Table = name, table
	switch version {
	case "4":
		l.Family = plan.IPv4
	case "6":
		l.Family = plan.IPv6
	case "":
		l.Family = 0
	default:
		return fmt.Errorf("invalid IP version %q of uplink %s", version, name)
	}
	return nil
}

// Health says which uplinks are not to be used in which IP version: the value is the order in which
// they went down, 1 first, or Doubtful, or Spent. Absent, or 0, means up.
type Health map[UplinkVersion]int

// Doubtful is an uplink whose check fails together with those of all that could take over: only
// what is strict leaves it.
const Doubtful = -1

// Spent is an uplink whose quota is used up, so that nothing may use it, whatever else is left: a
// quota is not a check that may be wrong.
const Spent = -2

// Down returns the health in which uplinks are down in both versions, in an order.
func Down(order map[string]int) Health {
	h := Health{}
	for name, n := range order {
		for _, family := range plan.Families {
			h[UplinkVersion{Uplink: name, Family: family}] = n
		}
	}
	return h
}

// Order is when an uplink went down, for what falls back; 0 while it is up, or doubtful.
func (h Health) Order(uplink string, family plan.Family) int {
	if h.spent(uplink, family) {
		return 1
	}
	return max(h[UplinkVersion{Uplink: uplink, Family: family}], 0)
}

func (h Health) spent(uplink string, family plan.Family) bool {
	return h[UplinkVersion{Uplink: uplink, Family: family}] == Spent
}

// closed reports whether an uplink must not be used by what is strict.
func (h Health) closed(uplink string, family plan.Family) bool {
	return h[UplinkVersion{Uplink: uplink, Family: family}] != 0
}

// passedOver reports whether a table, or a variant of it, uses a quicker uplink of equal distance.
func (h Health) passedOver(table, uplink string, family plan.Family) bool {
	name, _ := plan.NameOf(table)
	return h[UplinkVersion{uplink, family, name}] != 0
}
