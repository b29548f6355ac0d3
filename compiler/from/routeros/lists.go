package routeros

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"pbr/compiler/from"
)

// readListEntry adds an entry to its address list.
func (c *config) readListEntry(s *statement) {
	name := s.get("list")
	l := c.lists[name]
	if l == nil {
		l = &list{name: name, st: s}
		c.lists[name] = l
		c.ordered = append(c.ordered, l)
	}
	text := s.get("address")
	spelled, _, ok := addressText(text)
	switch {
	case ok:
		l.entries = append(l.entries, from.Entry{Text: spelled, Comment: s.get("comment")})
		l.sources = append(l.sources, s)
		if s.get("timeout") != "" {
			s.Change("it is there for a time only (timeout=" + s.get("timeout") + "): the policy has it for good")
		}
	case strings.ContainsAny(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") && !strings.ContainsAny(text, "/: "):
		l.partial = "a host name"
		s.DropSevere("host names in lists are not looked up: write { domains = [\"" + text +
			"\"] } into the list, which pbr watch fills from DNS answers")
	default:
		l.partial = "an entry that cannot be read"
		s.DropSevere("its address cannot be read")
	}
}

// addressText is an address, prefix or range as the policy file writes it.
func addressText(s string) (text string, six, ok bool) {
	if lo, hi, isRange := strings.Cut(s, "-"); isRange {
		a, err1 := netip.ParseAddr(lo)
		b, err2 := netip.ParseAddr(hi)
		if err1 != nil || err2 != nil || a.Is4() != b.Is4() || a.Zone() != "" || b.Zone() != "" || a.Is4In6() || b.Is4In6() {
			return "", false, false
		}
		if b.Less(a) {
			a, b = b, a
		}
		if a == b {
			return a.String(), a.Is6(), true
		}
		return a.String() + "-" + b.String(), a.Is6(), true
	}
	if strings.Contains(s, "/") {
		addr, length, _ := strings.Cut(s, "/")
		a, err := netip.ParseAddr(addr)
		bits, err2 := strconv.Atoi(length)
		if mask, err3 := netip.ParseAddr(length); err2 != nil && err3 == nil && mask.Is4() {
			bits, err2 = maskBits(mask), nil
		}
		if err != nil || err2 != nil || a.Is4In6() || a.Zone() != "" {
			return "", false, false
		}
		p, err := a.Prefix(bits)
		if err != nil {
			return "", false, false
		}
		if p.IsSingleIP() {
			return p.Addr().String(), a.Is6(), true
		}
		return p.String(), a.Is6(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return "", false, false
	}
	return a.String(), a.Is6(), true
}

// duration reads a time of RouterOS, as 1d, 1w2d03:04:05, 00:10:00, 10m or 600, in seconds.
func duration(s string) (seconds int, ok bool) {
	units := map[byte]int{'w': 604800, 'd': 86400, 'h': 3600, 'm': 60, 's': 1}
	for s != "" {
		i := 0
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		n, err := strconv.Atoi(s[:i])
		if err != nil || n > 1e8 {
			return 0, false
		}
		switch {
		case i == len(s):
			return seconds + n, true
		case s[i] == ':':
			var h, m, sec int
			if k, _ := fmt.Sscanf(s, "%d:%d:%d", &h, &m, &sec); k != 3 || h < 0 || m < 0 || sec < 0 {
				return 0, false
			}
			return seconds + h*3600 + m*60 + sec, true
		case units[s[i]] == 0:
			return 0, false
		}
		seconds += n * units[s[i]]
		s = s[i+1:]
	}
	return seconds, true
}

// durationText is a time as the policy file writes it.
func durationText(seconds int) string {
	var b strings.Builder
	for _, u := range []struct {
		name string
		size int
	}{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}} {
		if n := seconds / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			seconds %= u.size
		}
	}
	if b.Len() == 0 {
		return "1s"
	}
	return b.String()
}
