#!/bin/sh
# Policy-based routing: all that "pbr apply" sets in the kernel, in the same order, by sysctl, ip and nft.
# Needs root. It can be run again, and then also takes away what an older policy left behind. Unlike pbr apply
# it sends everything each time, takes the ip rules away for a moment, and does not roll back when a command fails.
# It does not touch connections that are there already: without this table they got neither mark nor translation, and keep the way
# that they had, also past a strict table. "pbr apply" afterwards sees to them; "conntrack -D -s ADDRESS" deletes a host's.
# Interfaces that do not exist or are down are left out, with a line on stderr: run it again when they are there.
set -euf

# say MESSAGE tells on stderr what is left out, once.
told='|'
say() {
	case $told in
	*"|$*|"*) ;;
	*) told="$told$*|"; printf 'pbr: %s\n' "$*" >&2 ;;
	esac
}

# ipv6 reports whether the kernel has IPv6.
ipv6() { [ -e /proc/net/if_inet6 ]; }
