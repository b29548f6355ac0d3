package compiler

import (
	"fmt"
	"strings"

	"pbr/compiler/plan"
)

// Line is an uplink in one IP version.
type Line struct {
	Uplink string
	Family plan.Family
}

// MarshalText makes a line a key of JSON, as "isp1/4". A user's name cannot contain "/".
func (l Line) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%s/%d", l.Uplink, l.Family), nil
}

// UnmarshalText is the inverse. The key of earlier releases, without a version, is of Family 0.
func (l *Line) UnmarshalText(text []byte) error {
	name, version, _ := strings.Cut(string(text), "/")
	switch l.Uplink = name; version {
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

// Health tells which uplinks are not to be used in which IP version: the value is the order in which they went down, 1 first, or Doubtful.
// Absent, or 0, means up.
type Health map[Line]int

// Doubtful is an uplink whose check fails together with those of all that could take over: only what is strict leaves it.
const Doubtful = -1

// Down returns the health in which uplinks are down in both versions, in an order.
func Down(order map[string]int) Health {
	h := Health{}
	for name, n := range order {
		for _, family := range plan.Families {
			h[Line{name, family}] = n
		}
	}
	return h
}

// Order is when an uplink went down, for what falls back; 0 while it is up, or doubtful.
func (h Health) Order(uplink string, family plan.Family) int { return max(h[Line{uplink, family}], 0) }

// closed reports whether an uplink must not be used by what is strict.
func (h Health) closed(uplink string, family plan.Family) bool { return h[Line{uplink, family}] != 0 }
