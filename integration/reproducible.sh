#!/bin/sh
# Builds packages and tarballs of the last commit in two directories, and fails if their sums differ: reproducible.sh ARCHITECTURES
set -eu

cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for directory in first second/longer-name; do
	git clone -q --no-hardlinks . "$work/$directory"
	make -C "$work/$directory" --no-print-directory dist ARCHES="$1" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
done
cat "$work/first/dist/SHA256SUMS"
diff "$work/first/dist/SHA256SUMS" "$work/second/longer-name/dist/SHA256SUMS"
echo "the same sums in two directories"
