package main

import (
	"fmt"
	"strings"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/kernel"
)

// natByHand is a command that translates what leaves through an interface, without pbr.
const natByHand = "nft 'add table ip nat; add chain ip nat out { type nat hook postrouting priority srcnat; }; " +
	"add rule ip nat out oifname DEV masquerade'"

// flushAdvice says what the hosts behind this machine lose with pbr, and the commands that bring it
// back without pbr.
func flushAdvice(report *kernel.Report) (advice []string) {
	for _, s := range report.Restored {
		if f := forwardingOf(s.Path); f != "" && s.Want == "0" {
			advice = append(advice, fmt.Sprintf("%s forwarding is off again, as before pbr: hosts behind this machine are offline. "+
				"To switch it on: sysctl -w %s=1", f, strings.ReplaceAll(s.Path, "/", ".")))
		}
	}
	var gone []plan.Chain
	for _, c := range report.Changes.Chains {
		if c.Have != nil {
			gone = append(gone, *c.Have)
		}
	}
	if compiler.TranslatesForwarded(gone) {
		advice = append(advice, "pbr's NAT is removed: unless something else translates them, hosts with private addresses "+
			"behind this machine are offline. To translate them, with your uplink's interface for DEV: "+natByHand)
	}
	return advice
}

// forwardingOf returns the IP version that a setting forwards; "" for other settings.
func forwardingOf(path string) string {
	switch path {
	case "net/ipv4/ip_forward":
		return "IPv4"
	case "net/ipv6/conf/all/forwarding":
		return "IPv6"
	}
	return ""
}
