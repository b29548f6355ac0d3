#!/bin/sh
# After removal. A purge takes away routing and state.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
case ${1:-} in
purge)
	if [ -x /var/lib/pbr/purge ]; then
		/var/lib/pbr/purge || { echo "pbr: routing could not be taken away; /var/lib/pbr/purge does it" >&2; exit 1; }
	fi
	rm -rf /var/lib/pbr /run/pbr
	[ ! -d /etc/pbr ] || rmdir /etc/pbr 2>/dev/null || echo "pbr: /etc/pbr is not empty and stays"
	;;
esac
