#!/bin/sh
# Prints pbr.toml(5), made of docs/policy.md. Links of the page lead nowhere in a manual, so their
# texts alone stay; a table becomes a list of its first column, since its lines would be wider than any terminal.
set -eu

cd "$(dirname "$0")/.."
{
	echo '% PBR.TOML 5 "" "pbr" "File Formats"'
	echo '# NAME'
	echo
	echo 'pbr.toml - the policy file of pbr(8)'
	echo
	echo '# DESCRIPTION'
	sed -e 1d -e 's/\[\(`[^`]*`\)\](\([^)]*\))/\1/g' -e 's/\[\([^][]*\)\](\([^)]*\))/\1/g' docs/policy.md | awk '
		function cell(i) { gsub(/^ +| +$/, "", cells[i]); gsub(/\001/, "|", cells[i]); return cells[i] }
		!/^\|/ { rows = 0; print; next }
		{
			gsub(/\\\|/, "\001")
			n = split($0, cells, "|") - 2
			rows++
			if (rows <= 2) next
			about = ""
			for (i = 3; i <= n; i++) about = about (about == "" ? "" : ", default ") cell(i)
			printf "%s%s\n: %s\n\n", cell(2), about == "" || n < 4 ? "" : " (" about ")", n == 3 ? cell(3) " " cell(4) : cell(n + 1)
		}'
	echo
	echo '# SEE ALSO'
	echo
	echo '**pbr**(8)'
} | "${GO:-go}" run github.com/cpuguy83/go-md2man/v2
