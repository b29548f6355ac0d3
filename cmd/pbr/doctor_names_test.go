package main

import "testing"

// What dnsmasq --version says of its parts.
func TestLackingNftset(t *testing.T) {
	const has = "Dnsmasq version 2.90  Copyright (c) 2000-2024 Simon Kelley\nCompile time options: IPv6 conntrack ipset nftset auth\n"
	const not = "Dnsmasq version 2.90  Copyright (c) 2000-2024 Simon Kelley\n" +
		"Compile time options: IPv6 no-conntrack no-ipset no-nftset auth\n"
	const old = "Dnsmasq version 2.85  Copyright (c) 2000-2021 Simon Kelley\nCompile time options: IPv6 conntrack ipset auth\n"
	for said, want := range map[string]string{has: "", not: "2.90", old: "2.85", "": "", "what": "", "a dnsmasq of today": ""} {
		t.Run(said, func(t *testing.T) {
			if got := lackingNftset(said); got != want {
				t.Errorf("%q: %q, want %q", said, got, want)
			}
		})
	}
}
