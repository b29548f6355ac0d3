//go:build linux

package nft

import (
	"reflect"
	"slices"
	"testing"

	"pbr/compiler/plan"
	"pbr/kernel/facts"
)

// backScript has rules that look a route back to the source up: those that drop what has none, and
// others.
const backScript = `table inet firewalld {
	chain filter_PREROUTING { type filter hook prerouting priority -140; policy accept;
		icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
		meta nfproto ipv6 fib saddr . mark . iif oif missing drop
	}
}
table ip a {
	chain pre { type filter hook prerouting priority 0; policy drop;
		fib saddr . iif oif missing log prefix "x" drop
		iifname "lan0" fib saddr . iif oif missing counter drop
		iifname { "lan0", "lan1" } fib saddr . iif oif 0 jump rpfilter_drop
		fib saddr oif missing drop
		fib saddr . iif oif exists accept
		fib daddr . iif type != local drop
		fib saddr . iif oif missing counter
	}
	chain rpfilter_drop { drop; 
	}
	chain routed { type filter hook forward priority 0; fib saddr . iif oif missing drop; 
	}
}
`

func TestReverseFiltersOfOthers(t *testing.T) {
	t.Parallel()
	n := newNetns(t)
	n.load(backScript)
	found, err := n.conn.Others(noNames)
	if err != nil {
		t.Fatal(err)
	}
	for i := range found.ReverseFilters {
		if found.ReverseFilters[i].Handle == 0 {
			t.Errorf("no handle: %+v", found.ReverseFilters[i])
		}
		found.ReverseFilters[i].Handle = 0
	}
	t.Run("rules that look at the way back", func(t *testing.T) {
		want := []facts.ReverseFilter{
			{Table: "inet firewalld", Chain: "filter_PREROUTING", Family: plan.IPv6},
			{Table: "ip a", Chain: "pre", Family: plan.IPv4},
			{Table: "ip a", Chain: "pre", Family: plan.IPv4, Limited: true},
			{Table: "ip a", Chain: "pre", Family: plan.IPv4, Limited: true},
		}
		if !reflect.DeepEqual(found.ReverseFilters, want) {
			t.Errorf("reverse filters:\n got %+v\nwant %+v", found.ReverseFilters, want)
		}
	})
	t.Run("chains that drop", func(t *testing.T) {
		if w := []facts.DropChain{{Table: "ip a", Chain: "pre", Hook: "prerouting"}}; !slices.Equal(found.Dropping, w) {
			t.Errorf("dropping: %+v, want %+v", found.Dropping, w)
		}
	})
	t.Run("chains", func(t *testing.T) {
		if w := []string{"inet firewalld filter_PREROUTING", "ip a pre", "ip a routed",
			"ip a rpfilter_drop"}; !slices.Equal(found.Chains, w) {
			t.Errorf("chains: %q, want %q", found.Chains, w)
		}
	})
}

// The translations to an address are those that name one, whoever wrote them.
func TestTranslationsOfOthers(t *testing.T) {
	t.Parallel()
	n := newNetns(t)
	n.load(othersScript)
	n.load("table ip6 c {\n\tchain post { type nat hook postrouting priority 80; jump own; \n\t}\n" +
		"\tchain own { oifname \"wan9\" snat to 2001:db8::1; \n\t}\n}\n")
	found, err := n.conn.Others(noNames)
	if err != nil {
		t.Fatal(err)
	}
	for i := range found.Translations {
		if found.Translations[i].Handle == 0 {
			t.Errorf("no handle: %+v", found.Translations[i])
		}
		found.Translations[i].Handle = 0
	}
	post := func(priority int32) []facts.Hook { return []facts.Hook{{Name: "postrouting", Priority: priority}} }
	want := []facts.Translation{
		{Table: "ip a", Chain: "post", OIF: "wan1", Hooks: post(100)},
		{Table: "ip a", Chain: "post", Hooks: post(100)},
		{Table: "ip6 c", Chain: "own", OIF: "wan9", Hooks: post(80)},
	}
	if !reflect.DeepEqual(found.Translations, want) {
		t.Errorf("translations:\n got %+v\nwant %+v", found.Translations, want)
	}
}
