#!/bin/sh
# Puts everything of pbr into place, or takes it away: install.sh install|uninstall, with PREFIX, DESTDIR, SYSCONFDIR, BINARY.
# The packages are made of what this lays below DESTDIR. SOURCE_DATE_EPOCH is the time of what is made here.
set -eu

cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}
etc=${SYSCONFDIR:-/etc}
binary=${BINARY:-bin/pbr}
# What prints the texts: the same program for this machine, where BINARY is for another one.
host=${HOST_BINARY:-$binary}
share=$root$prefix/share
doc=$share/doc/pbr
lib=$root$prefix/lib
# systemd and networkd read below /usr/lib, and /usr/local/lib for units alone.
case $prefix in
/usr) vendor=$root/usr/lib ;;
*) vendor=$root$etc ;;
esac

put() { # MODE SOURCE TARGET
	install -D -m "$1" "$2" "$3"
}
compressed() { # TARGET, from standard input
	mkdir -p "$(dirname "$1")"
	gzip -9n >"$1"
	chmod 644 "$1"
}
with_path() { # UNIT: for the place of this prefix
	sed "s#/usr/sbin/pbr#$prefix/sbin/pbr#g" "$1"
}

units() { ls packaging/systemd; }

hooks() { # what the network's managers call, and where they look for it
	for state in routable degraded carrier no-carrier off; do
		echo "packaging/dispatcher/networkd-dispatcher/50-pbr $vendor/networkd-dispatcher/$state.d/50-pbr"
	done
	echo "packaging/dispatcher/NetworkManager/50-pbr $vendor/NetworkManager/dispatcher.d/50-pbr"
}

files() { # what uninstall takes away
	echo "$root$prefix/sbin/pbr"
	for unit in $(units); do echo "$lib/systemd/system/$unit"; done
	echo "$vendor/systemd/networkd.conf.d/90-pbr.conf"
	hooks | cut -d ' ' -f 2
	echo "$share/bash-completion/completions/pbr"
	echo "$share/zsh/site-functions/_pbr"
	echo "$share/fish/vendor_completions.d/pbr.fish"
	ls "$share/man/man8/pbr.8.gz" "$share"/man/man8/pbr-*.8.gz "$share/man/man5/pbr.toml.5.gz" 2>/dev/null || true
}

case ${1:-} in
install)
	put 755 "$binary" "$root$prefix/sbin/pbr"
	for unit in $(units); do
		mkdir -p "$lib/systemd/system"
		with_path "packaging/systemd/$unit" >"$lib/systemd/system/$unit"
		chmod 644 "$lib/systemd/system/$unit"
	done
	put 644 packaging/networkd/90-pbr.conf "$vendor/systemd/networkd.conf.d/90-pbr.conf"
	hooks | while read -r source hook; do
		mkdir -p "$(dirname "$hook")"
		with_path "$source" >"$hook"
		chmod 755 "$hook"
	done
	for shell in bash zsh fish; do
		case $shell in
		bash) to=$share/bash-completion/completions/pbr ;;
		zsh) to=$share/zsh/site-functions/_pbr ;;
		fish) to=$share/fish/vendor_completions.d/pbr.fish ;;
		esac
		mkdir -p "$(dirname "$to")"
		"$host" completion "$shell" >"$to"
		chmod 644 "$to"
	done
	"$host" man | compressed "$share/man/man8/pbr.8.gz"
	for command in $("$host" man --list); do
		"$host" man "$command" | compressed "$share/man/man8/pbr-$command.8.gz"
	done
	sh packaging/policy-man.sh | compressed "$share/man/man5/pbr.toml.5.gz"
	compressed "$doc/changelog.gz" <CHANGELOG.md
	for page in README.md docs/*.md docs/*/*.md; do put 644 "$page" "$doc/${page#docs/}"; done
	sh packaging/licences.sh | compressed "$doc/third-party-licences.gz"
	put 644 packaging/copyright "$doc/copyright"
	put 644 packaging/grafana/pbr.json "$doc/grafana.json"
	put 644 packaging/prometheus/alerts.yml "$doc/prometheus-alerts.yml"
	for policy in fixtures/networks/*/policy.toml; do
		name=$(basename "$(dirname "$policy")")
		put 644 "$policy" "$doc/examples/${name#*-}.toml"
	done
	install -d -m 750 "$root$etc/pbr"
	;;
uninstall)
	files | while read -r file; do rm -f "$file"; done
	rm -rf "$doc"
	echo "Routing stays as it is, and so does $root$etc/pbr. To take routing away, run \"pbr flush\" before you uninstall."
	;;
*)
	echo "usage: install.sh install|uninstall" >&2
	exit 1
	;;
esac
