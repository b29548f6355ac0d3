#!/bin/sh
# Reports whether Go is here and can build pbr, before anything is installed: check-go.sh [GO]
set -eu

go=${1:-go}
wanted=$(sed -n 's/^go //p' "$(dirname "$0")/../go.mod")
if ! command -v "$go" >/dev/null 2>&1; then
	echo "$go: not found. pbr is built with Go $wanted. Any Go from 1.21 on downloads it by itself:" >&2
	echo "  apt-get install golang-go    # Debian 13 and later" >&2
	echo "  https://go.dev/dl            # everywhere else" >&2
	exit 1
fi
# Outside of the module, Go tells its own version, not that of the toolchain it would download.
version=$(cd / && GOTOOLCHAIN=local "$go" version | sed 's/^go version go\([0-9.]*\).*/\1/')
older() { # A B: whether version A is older than B
	[ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}
if older "$version" 1.21; then
	echo "Go $version is too old: pbr is built with Go $wanted, which only Go 1.21 and later downloads by itself." >&2
	echo "Install a newer Go from https://go.dev/dl, or Debian's: apt-get install -t bookworm-backports golang-go" >&2
	exit 1
fi
if older "$version" "$wanted" && [ "$("$go" env GOTOOLCHAIN 2>/dev/null || echo local)" = local ]; then
	echo "Go $version is older than $wanted, and GOTOOLCHAIN=local keeps it from downloading that: unset GOTOOLCHAIN" >&2
	exit 1
fi
