#!/bin/sh
# Installs the programs that a target of the Makefile uses, where they are missing and apt can: install-tools.sh demo|test|vm|boot|cross|ansible|package|web...
# The tests compare pbr with them; pbr itself needs none.
set -eu

missing=
optional=
need() { # PROGRAM PACKAGE...
	program=$1
	shift
	command -v "$program" >/dev/null 2>&1 || missing="$missing $*"
}
want() { # PROGRAM PACKAGE...: without it, tests say what they leave out
	program=$1
	shift
	command -v "$program" >/dev/null 2>&1 || optional="$optional $*"
}
PATH=$PATH:/usr/sbin:/sbin
for use; do
	case $use in
	demo)
		need nft nftables
		need conntrack conntrack
		need ip iproute2
		need ping iputils-ping
		need tcpdump tcpdump
		;;
	test)
		need iptables-restore iptables
		need ipset ipset
		need sysctl procps # the scripts of pbr compile call it
		need dnsmasq dnsmasq-base # resolvers, each started by its test in a namespace
		need unbound unbound
		need /usr/lib/frr/bfdd frr # whose BFD pbr has to agree with
		need keepalived keepalived # the pair of routers of docs/ha.md
		need conntrackd conntrackd
		want cc gcc libc6-dev # for go test -race
		# Not to be started as such: its networkd, in a namespace.
		want /lib/systemd/systemd-networkd systemd
		# Neighbours, each started by its test in a namespace.
		want firewalld firewalld dbus
		want /usr/lib/frr/zebra frr
		want /usr/lib/podman/netavark netavark
		;;
	vm)
		want qemu-system-x86_64 qemu-system-x86
		want depmod kmod
		want wg wireguard-tools
		want pppd ppp
		;;
	cross)
		need qemu-s390x qemu-user
		;;
	boot)
		need qemu-system-x86_64 qemu-system-x86
		need mmdebstrap mmdebstrap
		need mke2fs e2fsprogs
		;;
	ansible)
		need ansible-playbook ansible-core
		;;
	package)
		need mmdebstrap mmdebstrap
		need lintian lintian
		need busybox busybox-static # OpenWrt's shell
		;;
	web)
		need chromium-headless-shell chromium-headless-shell fonts-dejavu-core
		need npm npm # for axe-core
		;;
	*)
		echo "install-tools.sh: $use: use demo, test, vm, boot, cross, ansible, package or web" >&2
		exit 1
		;;
	esac
done

[ -n "$missing$optional" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
	[ -n "$missing" ] || exit 0
	echo "missing, and only root can install it with apt-get. Please install:$missing$optional" >&2
	exit 1
fi
echo "installing:$missing$optional"
install() {
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
apt-get update -qq
# shellcheck disable=SC2086 # lists of words
[ -z "$missing" ] || install $missing
# shellcheck disable=SC2086
[ -z "$optional" ] || install $optional || echo "not installed:$optional" >&2
