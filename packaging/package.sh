#!/bin/sh
# Makes packages and tarballs: package.sh FORMATS ARCHITECTURES OUTPUT, as "deb rpm apk archlinux tar" "amd64 arm64" dist.
# Whatever directory it runs in, the same commit gives the same bytes: SOURCE_DATE_EPOCH is the commit's time unless it is set.
set -eu

cd "$(dirname "$0")/.."
formats=$1 arches=$2 out=$3
go=${GO:-go}
NFPM=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
SBOM=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
version=${VERSION:-$(git describe --tags --always 2>/dev/null || echo unknown)}
version=${version#v}
case $version in
[0-9]*.*) ;;
*) version=0.0.0~dev+$version ;; # no tag yet
esac
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() { # GOARCH GOARM OUTPUT
	GOOS=linux GOARCH=$1 GOARM=$2 GO=$go LDFLAGS=$LDFLAGS sh packaging/go-build.sh '' "$3" -buildvcs=false
}
# Names of an architecture: Debian's, GOARCH, GOARM, nfpm's.
names() {
	case $1 in
	amd64 | arm64 | riscv64) echo "$1 - $1" ;;
	armhf) echo "arm 7 arm7" ;;
	armel) echo "arm 5 arm5" ;;
	i386) echo "386 - 386" ;;
	*) echo "package.sh: architecture $1: use amd64, arm64, armhf, armel, i386 or riscv64" >&2; exit 1 ;;
	esac
}

build "$("$go" env GOHOSTARCH)" "" "$work/host"
"$go" build -o "$work/nfpm" "$NFPM" 2>/dev/null || GOBIN=$work "$go" install "$NFPM"
for arch in $arches; do
	set -- $(names "$arch")
	arm=$2
	[ "$arm" != - ] || arm=
	build "$1" "$arm" "$work/pbr"
	stage=$work/$arch
	PREFIX=/usr DESTDIR=$stage BINARY=$work/pbr HOST_BINARY=$work/host sh packaging/install.sh install
	printf 'pbr (%s-1) unstable; urgency=medium\n\n  * Release %s. See changelog.gz.\n\n -- pbr maintainers <maintainers@pbr.invalid>  %s\n' \
		"$version" "$version" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$work/changelog.Debian.gz"
	cp -r packaging/scripts packaging/lintian-overrides "$work"
	find "$stage" "$work/changelog.Debian.gz" "$work/scripts" "$work/lintian-overrides" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	sed -e "s#@ARCH@#$3#; s#@VERSION@#$version#; s#@STAGE@#$stage#; s#@WORK@#$work#; s#@MTIME@#$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)#" \
		packaging/nfpm.yaml >"$work/nfpm.yaml"
	for format in $formats; do
		case $format in
		tar)
			name=pbr-$version-linux-$arch
			tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --transform "s#^\.#$name#" \
				-C "$stage" -cf - . | gzip -9n >"$out/$name.tar.gz"
			;;
		*) "$work/nfpm" package -f "$work/nfpm.yaml" -p "$format" -t "$out/" >/dev/null ;;
		esac
	done
	rm -rf "$stage"
done
case " $formats " in
*' tar '*)
	"$go" run "$SBOM" bin -json -noserial -notimestamp -version "v$version" -output "$out/pbr-$version.cdx.json" "$work/host"
	;;
esac
(cd "$out" && rm -f SHA256SUMS && sha256sum -- * >"$work/sums" && mv "$work/sums" SHA256SUMS)
ls -l "$out"
