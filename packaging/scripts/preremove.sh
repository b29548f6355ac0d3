#!/bin/sh
# Before removal. Routing stays as it is: whoever is connected through it stays connected. What a later purge needs to
# take it away is left behind.
set -e

case ${1:-} in
upgrade | failed-upgrade | 1) exit 0 ;; # Debian's and RPM's words for an upgrade
esac
if [ -d /run/systemd/system ]; then
	systemctl disable --now pbr.service pbr-apply.service pbr-dnsmasq.path 2>/dev/null || true
fi
if [ -n "$(ls -A /run/pbr 2>/dev/null)" ]; then
	install -d -m 700 /var/lib/pbr /var/lib/pbr/removed
	install -m 700 /usr/sbin/pbr /var/lib/pbr/removed/pbr
	cat >/var/lib/pbr/purge <<'END'
#!/bin/sh
# Takes away routes, rules, table inet pbr and settings that the removed package left in force.
exec /var/lib/pbr/removed/pbr flush
END
	chmod 700 /var/lib/pbr/purge
	echo "pbr: routing stays as it is until the next boot. To take it away: /var/lib/pbr/purge, or purge the package"
fi
