#!/bin/sh
# Prints the path of axe-core's axe.min.js, fetched by npm below the cache: nothing is installed.
set -eu

version=4.10.3
cache=${PBR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pbr}/axe-core-$version
if [ ! -f "$cache/package/axe.min.js" ]; then
	rm -rf "$cache"
	mkdir -p "$cache"
	(cd "$cache" && npm pack --silent "axe-core@$version" >&2 && tar -xzf axe-core-*.tgz package/axe.min.js package/LICENSE && rm axe-core-*.tgz)
fi
echo "$cache/package/axe.min.js"
