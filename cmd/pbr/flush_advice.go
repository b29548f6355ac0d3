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

// lossAdvice says what the hosts behind this machine lose by a flush or an undo, and the commands
// that bring it back without pbr.
func lossAdvice(report *kernel.Report) (advice []string) {
	for _, s := range report.Restored {
		if f := forwardingOf(s.Path); f != "" && s.Want == "0" {
			advice = append(advice, fmt.Sprintf("%s forwarding is off again, as before pbr: hosts behind this machine are offline. "+
				"To switch it on: sysctl -w %s=1", f, strings.ReplaceAll(s.Path, "/", ".")))
		}
	}
	var before, after []plan.Chain
	for _, c := range report.Changes.Chains {
		if c.Have != nil {
			before = append(before, *c.Have)
		}
		if c.Want != nil {
			after = append(after, *c.Want)
		}
	}
	if compiler.TranslatesForwarded(before) && !compiler.TranslatesForwarded(after) {
		advice = append(advice, "pbr's NAT is removed: unless something else translates them, hosts with private addresses "+
			"behind this machine are offline. To translate them, with your uplink's interface for DEV: "+natByHand)
	}
	return advice
}

// printLost prints what lossAdvice says.
func (c command) printLost(advice []string) {
	for _, text := range advice {
		fmt.Fprintf(c.stderr, "pbr: %s\n", text)
	}
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
