package main

import (
	"net/netip"
	"testing"

	"pbr/compiler/explain"
)

// TestAgrees: each part that explain foretells is compared.
func TestAgrees(t *testing.T) {
	ptr := func(s string) *string { return &s }
	item := func(change func(*tracedItem)) *tracedItem {
		i := &tracedItem{State: "new", Verdict: "forward", Interface: ptr("wan2"), Uplink: ptr("isp2"),
			Policy: ptr("voip"), Seen: ptr("198.51.100.2")}
		change(i)
		return i
	}
	foretold := func() *explain.Answer {
		return &explain.Answer{Verdict: "forward", Interface: "wan2", Uplink: "isp2",
			By: explain.By{Kind: explain.ByPolicy, Name: "voip"}, Address: netip.MustParseAddr("198.51.100.2")}
	}
	members := foretold()
	members.Interface, members.Uplink, members.Members = "", "", []string{"isp1", "isp2"}
	for _, c := range []struct {
		name string
		item *tracedItem
		a    *explain.Answer
		want bool
	}{
		{"all of it", item(func(*tracedItem) {}), foretold(), true},
		{"another interface", item(func(i *tracedItem) { i.Interface = ptr("wan1") }), foretold(), false},
		{"another interface of an answer",
			item(func(i *tracedItem) { i.State, i.Interface, i.Policy, i.Seen = "reply", ptr("br-guest"), nil, nil }), foretold(), false},
		{"another policy", item(func(i *tracedItem) { i.Policy = ptr("web") }), foretold(), false},
		{"another source", item(func(i *tracedItem) { i.Seen = ptr("198.51.100.3") }), foretold(), false},
		{"another source of a later packet, which may be older than the address",
			item(func(i *tracedItem) { i.State, i.Seen = "established", ptr("198.51.100.3") }), foretold(), true},
		{"dropped", item(func(i *tracedItem) { i.Verdict, i.Interface, i.Uplink = "drop", nil, nil }), foretold(), false},
		{"one of the members", item(func(*tracedItem) {}), members, true},
		{"none of the members", item(func(i *tracedItem) { i.Uplink = ptr("isp3") }), members, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := agrees(c.item, c.a); got != c.want {
				t.Errorf("%s: %v", c.name, got)
			}
		})
	}
}
