#!/bin/sh
# Prints the licence of pbr and those of the modules and of the Go library that are in its binary.
set -eu

cd "$(dirname "$0")/.."
go=${GO:-go}
echo "pbr: policy-based routing for Linux"
echo
cat LICENSE
printf '\n%s\n%s\n\n' '--------------------------------------------------------------------------------' 'the Go standard library'
cat "$("$go" env GOROOT)/LICENSE"
GOOS=linux "$go" list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/pbr |
	sort -u | while read -r path version dir; do
	[ -n "$path" ] || continue
	printf '\n%s\n%s %s\n\n' '--------------------------------------------------------------------------------' "$path" "$version"
	files=$(ls "$dir" | grep -iE '^(licen[cs]e|copying|notice)') || { echo "licences.sh: $path has no licence file" >&2; exit 1; }
	for file in $files; do cat "$dir/$file"; done
done
