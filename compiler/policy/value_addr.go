package policy

import (
	"fmt"
	"math/bits"
	"net/netip"
	"strings"
)

// parseRange reads an address, a prefix without host bits, or "FROM-TO".
func parseRange(v string) (Range, *fault) {
	if strings.IndexByte(v, '/') >= 0 {
		p, f := parsePrefix(v)
		if f != nil {
			return Range{}, f
		}
		return PrefixRange(p), nil
	}
	if from, to, ok := strings.Cut(v, "-"); ok {
		return parseSpan(v, strings.TrimSpace(from), strings.TrimSpace(to))
	}
	a, f := parseAddr(v)
	return Range{a, a}, f
}

// parseSpan reads both ends of "FROM-TO".
func parseSpan(v, from, to string) (Range, *fault) {
	a, f := parseAddr(from)
	if f != nil {
		return Range{}, f
	}
	b, f := parseAddr(to)
	if f != nil {
		return Range{}, f
	}
	if a.Is4() != b.Is4() {
		return Range{}, badValue("", "the range %q mixes IPv4 and IPv6", v)
	}
	if b.Less(a) {
		return Range{}, badValue(fmt.Sprintf("write \"%s-%s\"", to, from), "the range %q ends before it starts", v)
	}
	return Range{a, b}, nil
}

// parseAddr reads one address without a zone.
func parseAddr(v string) (netip.Addr, *fault) {
	a, err := netip.ParseAddr(v)
	if err == nil && !a.Is4In6() && a.Zone() == "" {
		return a, nil
	}
	switch {
	case err != nil && strings.HasSuffix(v, "."):
		return netip.Addr{}, badValue("", "invalid address %q", v)
	case err != nil:
		return netip.Addr{}, badValue(addressHint(v), "invalid address %q", v)
	case a.Zone() != "":
		return netip.Addr{}, badValue(fmt.Sprintf("write %q", a.WithZone("").String()), "%q names an interface after %%", v)
	}
	return netip.Addr{}, badValue(fmt.Sprintf("write %q", a.Unmap().String()), "%q is an IPv4 address written as IPv6", v)
}

// anyRangeHint is what may stand where ranges may.
const anyRangeHint = "write an address, a prefix as 10.0.0.0/8, or a range as 10.0.0.1-10.0.0.9"

// addressHint guesses what was meant by something that is not an address.
func addressHint(v string) string {
	if bare := strings.Trim(v, " \t"); bare != v {
		return fmt.Sprintf("write %q", bare)
	}
	if strings.HasPrefix(v, "[") && strings.HasSuffix(v, "]") {
		return fmt.Sprintf("write %q", v[1:len(v)-1])
	}
	if n := strings.Count(v, "."); n > 0 && n < 3 && strings.Trim(v, "0123456789.") == "" {
		return fmt.Sprintf("an IPv4 address has four numbers, as %q", strings.TrimSuffix(v, ".")+strings.Repeat(".0", 3-n))
	}
	if isHostName(v) {
		return fmt.Sprintf("its addresses are looked up for a list alone: NAME = { domains = [%q] } in [lists], and \"@NAME\" here", v)
	}
	if validName(v) && strings.ContainsFunc(v, func(r rune) bool { return r >= 'g' && r <= 'z' }) {
		return fmt.Sprintf("a list is written %q; host names are not looked up", "@"+v)
	}
	return anyRangeHint
}

// isHostName reports whether something that is not an address is a name with a domain.
func isHostName(v string) bool {
	return validDomain(strings.ToLower(v)) && strings.Contains(v, ".") &&
		strings.ContainsFunc(v, func(r rune) bool { return r >= 'g' && r <= 'z' })
}

// parsePrefix reads a prefix; bits behind its length are an error.
func parsePrefix(v string) (netip.Prefix, *fault) {
	p, err := netip.ParsePrefix(v)
	if err != nil {
		addr, length, _ := strings.Cut(v, "/")
		a, f := parseAddr(addr)
		if f != nil {
			return netip.Prefix{}, f
		}
		if m, err := netip.ParseAddr(length); err == nil && a.Is4() && m.Is4() {
			if n, ok := maskLength(m); ok {
				return netip.Prefix{}, badValue(fmt.Sprintf("write \"%s/%d\"", a, n), "%q has a netmask", v)
			}
		}
		return netip.Prefix{}, badValue(fmt.Sprintf("write a length from 0 to %d", a.BitLen()), "invalid prefix length in %q", v)
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, badValue("write it as IPv4", "%q is an IPv4 prefix written as IPv6", v)
	}
	if m := p.Masked(); m.Addr() != p.Addr() {
		return netip.Prefix{}, &fault{codeHostBits, fmt.Sprintf("%q has host bits set", v),
			fmt.Sprintf("write %q for the network, or %q for the one address", m, p.Addr())}
	}
	return p, nil
}

// maskLength returns the length that a netmask as 255.255.255.0 stands for.
func maskLength(m netip.Addr) (int, bool) {
	v := v4Number(m)
	n := bits.LeadingZeros32(^v)
	return n, v == ^uint32(0)<<(32-n)
}

func v4Number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func v4Addr(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// String prints a range as the file would write it.
func (r Range) String() string {
	if r.From == r.To {
		return r.From.String()
	}
	for n := 0; n <= r.From.BitLen(); n++ {
		if p := netip.PrefixFrom(r.From, n); p.Masked() == p && PrefixRange(p) == r {
			return p.String()
		}
	}
	return r.From.String() + "-" + r.To.String()
}
