#!/bin/sh
# After installation. Nothing starts by itself; on an upgrade a running pbr watch goes on with the new program, which moves no packet.
set -e

# Debian: "configure" and the version before, if any. RPM: 1 on installation, 2 on an upgrade. apk and pacman: versions.
upgrade=
start="have your init system run pbr watch"
case ${1:-} in
configure) [ -z "${2:-}" ] || upgrade=1 ;;
1) ;;
2) upgrade=1 ;;
*) [ -z "${2:-}" ] || upgrade=1 ;;
esac
rm -f /var/lib/pbr/purge /var/lib/pbr/removed/pbr
rmdir /var/lib/pbr/removed 2>/dev/null || true
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	if [ "$upgrade" ]; then
		systemctl try-restart pbr.service || true
	fi
	start="systemctl enable --now pbr"
fi
[ "$upgrade" ] || echo "pbr: nothing is started yet. Write /etc/pbr/pbr.toml (pbr init proposes one), then: $start"
