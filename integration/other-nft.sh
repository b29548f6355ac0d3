#!/bin/sh
# Prints a folder with the nft of another Debian suite (trixie, sid): other-nft.sh SUITE
# Its packages are unpacked below the cache, and nothing is installed on this machine. Put the folder
# first into PATH, and the tests use that nft as their oracle.
set -eu

suite=$1
cache=${PBR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pbr}/nft-$suite
if [ ! -x "$cache/bin/nft" ]; then
	rm -rf "$cache"
	mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial" "$cache/root" "$cache/bin"
	: >"$cache/apt/status"
	mirror=$(sed -n 's/^URIs: *\(.*debian\) *$/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*debian\/\{0,1\}\) .*/\2/p' \
		/etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:?no Debian archive in the sources of apt} $suite main" >"$cache/apt/sources.list"
	apt() {
		DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dir::Etc::sourcelist="$cache/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
			-o Dir::Etc::preferencesparts=- -o Dir::State="$cache/apt" -o Dir::State::status="$cache/apt/status" \
			-o Dir::Cache="$cache/apt" -o APT::Sandbox::User=root "$@"
	}
	apt update >&2
	apt install --no-install-recommends --download-only -y nftables >&2
	for deb in "$cache"/apt/archives/*.deb; do dpkg-deb -x "$deb" "$cache/root"; done
	rm -rf "$cache/apt"
	loader=$(find "$cache/root" -name 'ld-linux*.so.*' | head -n 1)
	libraries=$(find "$cache/root" -name 'libc.so.6' -exec dirname {} \; | head -n 1)
	cat >"$cache/bin/nft" <<END
#!/bin/sh
exec "$loader" --library-path "$libraries" "$cache/root/usr/sbin/nft" "\$@"
END
	chmod +x "$cache/bin/nft"
	"$cache/bin/nft" --version >&2
fi
echo "$cache/bin"
