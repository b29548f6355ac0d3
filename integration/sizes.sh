#!/bin/sh
# Measures how large the program is. "sizes.sh write" rewrites the table of docs/sizes.md; "sizes.sh check" fails if the largest of its machines is
# 2 % above what stands there, or above the 20 MB that the full program may have.
set -eu

cd "$(dirname "$0")/.."
page=docs/sizes.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

bytes() { # GOARCH TAGS: builds, and prints the size
	GOOS=linux GOARCH=$1 GOARM=7 GOMIPS=softfloat LDFLAGS='-s -w' sh packaging/go-build.sh "$2" "$work/pbr"
	wc -c <"$work/pbr"
}
column() { # "full" or "small", the largest machine's
	awk -F'|' -v n="$([ "$1" = full ] && echo 3 || echo 5)" '/^\| mipsle/ {print $n + 0}' "$page"
}
check() { # "full" or "small", TAGS
	recorded=$(column "$1")
	now=$(bytes mipsle "$2")
	awk -v build="$1" -v recorded="$recorded" -v now="$now" 'BEGIN {
		printf "pbr for mipsle, %s: %.2f MB, recorded %.1f MB\n", build, now / 1e6, recorded
		if (now > recorded * 1.02e6 || build == "full" && now > 20e6) {
			print "too large: find out what grew (docs/sizes.md), or run make sizes and say why in CHANGELOG.md"
			exit 1
		}
	}'
}
row() { # TITLE GOARCH
	printf '| %s |' "$1"
	for tags in '' small; do
		plain=$(bytes "$2" "$tags")
		awk -v plain="$plain" -v packed="$(gzip -9n <"$work/pbr" | wc -c)" 'BEGIN {printf " %.1f MB | %.1f MB |", plain / 1e6, packed / 1e6}'
	done
	echo
}

case ${1:-} in
check)
	check full ''
	check small small
	;;
write)
	{
		row amd64 amd64
		row arm64 arm64
		row 'arm (ARMv7)' arm
		row 'mipsle (softfloat)' mipsle
	} | tee "$work/rows"
	awk -v rows="$work/rows" '/^\| (amd64|arm64|arm|mipsle) / {
		if (!done++) while ((getline line <rows) > 0) print line
		next
	} {print}' "$page" >"$work/page"
	cat "$work/page" >"$page"
	;;
*)
	echo "sizes.sh: check or write" >&2
	exit 1
	;;
esac
