#!/bin/sh
# Builds pbr as it is shipped: go-build.sh TAGS OUTPUT [OPTION...], with GO, LDFLAGS and Go's own variables in the environment. OPTIONs are go build's.
set -eu

cd "$(dirname "$0")/.."
tags=$1 output=$2
shift 2

# Inlined functions are a tenth of the program. Where nobody waits for a function, it is called instead; docs/sizes.md has what that costs.
# Options of later patterns replace those of earlier ones.
called='github.com/... google.golang.org/... golang.org/x/net/... golang.org/x/text/... vendor/... net net/http/... html/... text/...
	crypto/tls/... crypto/x509/... encoding/... regexp/... mime/... compress/... math/big'
inlined='github.com/mdlayher/... github.com/ti-mo/... encoding/binary'
ldflags=${LDFLAGS:--s -w}
case ,$tags, in
*,small,*)
	called=all
	# The room between functions is a seventieth of the program. Instructions of amd64 may begin anywhere.
	case $("${GO:-go}" env GOARCH) in
	amd64) ldflags="$ldflags -funcalign=1" ;;
	*) ldflags="$ldflags -funcalign=4" ;;
	esac
	inlined='runtime internal/abi internal/bytealg internal/byteorder internal/cpu internal/goarch internal/reflectlite internal/runtime/...
		internal/strconv internal/sync sync sync/atomic slices maps cmp sort strings bytes strconv unicode/utf8 math math/bits hash/...
		encoding/binary net/netip pbr/compiler/interval pbr/compiler/layers pbr/compiler/plan pbr/compiler/policy/... pbr/compiler/slab
		pbr/compiler/sorting pbr/compiler/checksum/...'
	;;
esac
# A generic function is named after the type that it is compiled for, field by field. Names above 70 letters become checksums.
names=
"${GO:-go}" tool compile -d help 2>&1 | grep -q maxshapelen && names=-d=maxshapelen=70
set -- "$@" "-gcflags=all=$names"
for pattern in $called; do set -- "$@" "-gcflags=$pattern=-l $names"; done
for pattern in $inlined; do set -- "$@" "-gcflags=$pattern=$names"; done

# The cli library's manuals and HTTP/2 are left out: nobody uses them.
CGO_ENABLED=0 exec "${GO:-go}" build -trimpath -tags "urfave_cli_no_docs,nethttpomithttp2,$tags" -ldflags "$ldflags" "$@" -o "$output" ./cmd/pbr
