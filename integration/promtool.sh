#!/bin/sh
# Prints a folder with promtool of Debian's prometheus, unpacked below the cache: nothing is installed, and no server is started.
set -eu

cache=${PBR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pbr}/prometheus
if [ ! -x "$cache/usr/bin/promtool" ]; then
	rm -rf "$cache"
	mkdir -p "$cache"
	(cd "$cache" && apt-get -qq -o APT::Sandbox::User=root download prometheus >&2 && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb)
fi
echo "$cache/usr/bin"
