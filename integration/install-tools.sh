#!/bin/sh
# Installs the programs that the tests compare pbr with, where they are missing and apt can.
set -eu

missing=
optional=
need() { # PROGRAM PACKAGE
	command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
want() { # PROGRAM PACKAGE: without it, tests say what they leave out
	command -v "$1" >/dev/null 2>&1 || optional="$optional $2"
}
PATH=$PATH:/usr/sbin:/sbin
need nft nftables
need conntrack conntrack
need ip iproute2
need ping iputils-ping
need tcpdump tcpdump
need iptables-restore iptables
need ipset ipset
# The guest of make test-vm, and what its tests run.
want qemu-system-x86_64 qemu-system-x86
want depmod kmod
want wg wireguard-tools
want pppd ppp
# Not to be started as such: its networkd, in a namespace.
want /lib/systemd/systemd-networkd systemd

[ -n "$missing$optional" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
	[ -n "$missing" ] || exit 0
	echo "please install:$missing$optional" >&2
	exit 1
fi
echo "installing:$missing$optional"
install() {
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
apt-get update -qq
[ -z "$missing" ] || install $missing
[ -z "$optional" ] || install $optional || echo "not installed:$optional" >&2
