#!/bin/sh
# Prints a tar file with a small Debian of a suite (bookworm, trixie), made of its packages: debian-root.sh SUITE
# It is kept in the cache and rebuilt when this file changes; nothing is installed on this machine but mmdebstrap, which makes it.
set -eu

suite=$1
cache=${PBR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pbr}
tar=$cache/root-$suite-$(sha256sum <"$0" | cut -c 1-12).tar
if [ ! -f "$tar" ]; then
	mirror=$(sed -n 's/^URIs: *\(.*debian\) *$/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*debian\/\{0,1\}\) .*/\2/p' \
		/etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
	mkdir -p "$cache"
	new=$cache/new-$suite.tar # mmdebstrap goes by the end of the name
	mmdebstrap --variant=minbase --include=iproute2,nftables,iputils-ping,bash-completion,zsh,fish \
		"$suite" "$new" "${mirror:?no Debian archive in the sources of apt}" >&2
	rm -f "$cache/root-$suite"*.tar # an older one
	mv "$new" "$tar"
fi
echo "$tar"
