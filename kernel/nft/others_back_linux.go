package nft

import (
	"bytes"
	"cmp"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// backWalk follows whether a rule drops packets to whose source no route leads back by the
// interface that they came by, as "fib saddr . mark . iif oif missing drop" does.
type backWalk struct {
	missing, dropped bool
	// limited means that the rule looks at the arriving interface, too.
	limited bool
	family  plan.Family
}

// Results of fib beside the kind of address (enum nft_fib_result, linux/netfilter/nf_tables.h).
const (
	fibOIF     = 1
	fibOIFName = 2
)

// looksBack is where the result of a fib expression comes from.
func looksBack(x *expr) origin {
	result, flags := x.u32(unix.NFTA_FIB_RESULT), x.u32(unix.NFTA_FIB_FLAGS)
	if (result == fibOIF || result == fibOIFName) && flags&unix.NFTA_FIB_F_SADDR != 0 && flags&unix.NFTA_FIB_F_IIF != 0 {
		return fromReverse
	}
	return fromElsewhere
}

// compare is a comparison of what comes from there.
func (b *backWalk) compare(from origin, x *expr) {
	equal := x.u32(unix.NFTA_CMP_OP) == unix.NFT_CMP_EQ
	value := x.value(unix.NFTA_CMP_DATA)
	switch from {
	case fromReverse:
		b.missing = equal && len(bytes.Trim(value, "\x00")) == 0
	case fromIIF:
		b.limited = true
	case fromFamily:
		if equal && len(value) == 1 {
			b.family = map[byte]plan.Family{unix.NFPROTO_IPV4: plan.IPv4, unix.NFPROTO_IPV6: plan.IPv6}[value[0]]
		}
	}
}

// limit is a look-up of what comes from there.
func (b *backWalk) limit(from origin) { b.limited = b.limited || from == fromIIF }

// verdict is an immediate expression. A chain that is called counts if its name tells that it
// drops.
func (b *backWalk) verdict(x *expr) {
	verdict := attr(attr(x.data, unix.NFTA_IMMEDIATE_DATA), unix.NFTA_DATA_VERDICT)
	if verdict == nil {
		return
	}
	drops := int32(number(attr(verdict, unix.NFTA_VERDICT_CODE))) == nfDrop || strings.Contains(strings.ToLower(x.jump()), "drop")
	b.dropped = b.missing && drops
}

// match is the rpfilter match of iptables-nft: struct xt_rpfilter_info has flags
// (linux/netfilter/xt_rpfilter.h).
func (b *backWalk) match(name string, info []byte) {
	const loose, invert = 1, 8
	if name == "rpfilter" && len(info) > 0 {
		b.missing = info[0]&loose == 0 && info[0]&invert != 0
	}
}

// familyIn is the IP version that a rule in that table is for.
func (b *backWalk) familyIn(table string) plan.Family {
	return cmp.Or(plan.TableFamily(table), b.family)
}
