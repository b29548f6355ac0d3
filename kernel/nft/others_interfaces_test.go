//go:build linux

package nft

import (
	"slices"
	"strings"
	"testing"

	"pbr/kernel/facts"
)

// A translation is for the interfaces that its rule's set has, or the rules that lead to its chain.
func TestOthersInterfaceSets(t *testing.T) {
	t.Parallel()
	n := newNetns(t)
	for name, c := range map[string]struct{ table, want string }{
		"a set in the rule":            {`chain post { HOOK; oifname { "wan1", "wan2" } snat to 192.0.2.99; }`, "wan1 wan2"},
		"a set of indexes":             {`chain post { HOOK; oif { "lo" } snat to 192.0.2.99; }`, "index"},
		"a named set":                  {`set out { type ifname; elements = { "wan3" }; } chain post { HOOK; oifname @out masquerade; }`, "wan3"},
		"a set without elements":       {`set out { type ifname; } chain post { HOOK; oifname @out masquerade; }`, ""},
		"interfaces that it is not in": {`chain post { HOOK; oifname != { "lan", "lan2" } masquerade; }`, "any"},
		"names and beginnings of names": {`set out { type ifname; flags interval; elements = { "ppp*", "wan3" }; }
			chain post { HOOK; oifname @out masquerade; }`, "ppp* wan3"},
		"a set of interfaces and addresses": {`chain post { HOOK; oifname . ip saddr { "wan1" . 10.0.0.1, "wan1" . 10.0.0.2 } masquerade; }`,
			"wan1"},
		"a map to chains": {`chain one { masquerade; } chain two { snat to 192.0.2.99; }
			chain post { HOOK; oifname vmap { "wan1" : jump one, "wan2" : goto two, "lan" : accept }; }`, "wan1 wan2"},
		"a rule that jumps": {`chain one { ip saddr 10.0.0.0/8 jump two; } chain two { masquerade; }
			chain post { HOOK; oifname "wan1" jump one; oifname { "wan2" } goto two; }`, "wan1 wan2"},
		"a chain that everything gets to": {`chain one { masquerade; } chain post { HOOK; oifname "wan1" jump one; jump one; }`, "any"},
		"its own interface within":        {`chain one { oifname "wan2" masquerade; } chain post { HOOK; oifname "wan*" jump one; }`, "wan2"},
		"an address in a set":             {`chain post { HOOK; ip saddr { 10.0.0.1, 10.0.0.2 } masquerade; }`, "any"},
	} {
		t.Run(name, func(t *testing.T) {
			hook := "type nat hook postrouting priority srcnat"
			n.load("add table ip nat\ndelete table ip nat\ntable ip nat {\n" +
				strings.NewReplacer("HOOK", hook, "; ", "\n", "} chain", "}\nchain").Replace(c.table) + "\n}")
			found, err := n.conn.Others(func(uint32) string { return "index" })
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range found.SourceNAT {
				if s.OIF == "" {
					s.OIF = "any"
				}
				got = append(got, s.OIF)
			}
			slices.Sort(got)
			if got = slices.Compact(got); strings.Join(got, " ") != c.want {
				t.Errorf("for %q, want %q: %+v", got, c.want, found.SourceNAT)
			}
			if slices.ContainsFunc(found.Translations, func(tr facts.Translation) bool { return len(tr.Hooks) != 1 }) {
				t.Errorf("a translation without its hook: %+v", found.Translations)
			}
		})
	}
}
