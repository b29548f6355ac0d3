# make        builds bin/pbr
# make demo   shows pbr at work in a small internet of network namespaces (root)
# make test   runs everything: linters, unit tests, tests with real packets (root), the same on a stock kernel in QEMU

GO          ?= go
STATICCHECK  = honnef.co/go/tools/cmd/staticcheck@v0.7.0
GOTESTSUM    = gotest.tools/gotestsum@v1.13.0
# Without a tag it is a development build.
VERSION     ?= $(shell git describe --tags --dirty 2>/dev/null)
COMMIT      ?= $(shell git rev-parse HEAD 2>/dev/null)
COMMIT_DATE ?= $(shell git log -1 --format=%cs 2>/dev/null)
LDFLAGS      = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.commitDate=$(COMMIT_DATE)

# TAGS=small leaves out what needs an HTTP client or server, and more (docs/sizes.md).
TAGS        ?=

.DEFAULT_GOAL = build
.PHONY: sizes test-boot test-upgrade test-downgrade install uninstall package dist test-package test-ansible test-web screenshots tools-web test-prometheus test-reproducible go tools-demo tools-vm build cross test prove test-nft test-integration test-vm vm-shell lint fuzz demo bench bench-vm bench-dataplane bench-throughput golden anchors man tools clean

# Says what is wrong with Go before anything is downloaded or installed.
go:
	@sh integration/check-go.sh $(GO)

build: go
	GO='$(GO)' LDFLAGS='$(LDFLAGS)' sh packaging/go-build.sh '$(TAGS)' bin/pbr

# What the demo shows the result with, what the tests use as oracles besides, and the guest with what its tests run.
tools-demo: go
	@sh integration/install-tools.sh demo
tools: go
	@sh integration/install-tools.sh demo test
tools-vm: go
	@sh integration/install-tools.sh demo test vm

# The race detector needs a C compiler.
RACE = $(shell command -v $$($(GO) env CC 2>/dev/null || echo cc) >/dev/null 2>&1 && echo -race)

# Two cores for everything at once are few: a test that fails beside all others is run again by itself, and named at the end. What
# fails again is a failure, and so is a sixth test that fails.
ALONE = --rerun-fails=1 --rerun-fails-max-failures=5 --rerun-fails-abort-on-data-race --rerun-fails-run-root-test

# Tests wait more than they compute: two that run at a time leave the cores idle. The package that takes longest begins first.
# lint has vetted everything, and a program with the race detector sleeps before it ends, 1 s unless told otherwise.
LONGEST = ./integration
ATONCE  = $(RACE) -vet=off -parallel 3
test: export GORACE = atexit_sleep_ms=50

# PBR_REQUIRE turns a test that cannot run here (no root) into a failure; unset it with PBR_REQUIRE=. Nothing is taken from
# the cache: go does not know that the integration tests build pbr.
test: tools-vm lint
	@[ -n "$(RACE)" ] || echo "no C compiler: the tests run without the race detector"
	PBR_REQUIRE=$${PBR_REQUIRE-1} $(GO) run $(GOTESTSUM) --format standard-quiet $(ALONE) --packages '$(LONGEST) ./...' -- $(ATONCE) -count=1 -timeout 15m
	@$(MAKE) --no-print-directory test-nft NFT=trixie
	@$(GO) run ./integration/vm/run -rerun-fails

# pbr explain against the kernel: N random packets of random policies in random health, and ten times as many against a plain reading of the policies (root).
N ?= 100000
prove: tools
	PBR_REQUIRE=1 PBR_PACKETS=$(N) $(GO) test -count=1 -timeout 24h -run TestPacketsFollowRandomPolicies ./integration -v
	PBR_PACKETS=$(N)0 $(GO) test -count=1 -timeout 24h -run TestWaysFollowRandomPolicies ./compiler/walk -v

# The tests of text, with the nft of another Debian suite: NFT=trixie, NFT=sid.
NFT ?= trixie
test-nft: tools
	@command -v apt-get >/dev/null || { echo "no apt-get: not tested with the nft of Debian $(NFT)"; exit 0; }; \
	bin=$$(sh integration/other-nft.sh $(NFT)) && PATH=$$bin:$$PATH && nft --version && \
	PBR_REQUIRE=$${PBR_REQUIRE-1} $(GO) run $(GOTESTSUM) --format standard-quiet $(ALONE) --packages './integration ./kernel/nft' -- \
	  -count=1 -timeout 9m -run 'Text|Script|Listing'

# Builds for the machines that routers run on, then runs the tests that need no root on a 32-bit machine and, in qemu-user, on a
# big-endian one. Not a part of test: CI runs both.
MACHINES = amd64 arm64 arm 386 mipsle riscv64 s390x
ROOTLESS = ./compiler ./compiler/plan ./compiler/policy/... ./compiler/walk ./render ./cmd/pbr/daemon ./kernel/doctor
cross: go
	@sh integration/install-tools.sh cross
	@set -e; for machine in $(MACHINES); do echo "linux/$$machine"; \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$$machine $(GO) build ./...; done
	GO='$(GO)' sh integration/sizes.sh check
	CGO_ENABLED=0 $(GO) vet -tags small ./...
	CGO_ENABLED=0 $(GO) test -timeout 9m -tags small -run Small ./cmd/pbr
	@echo darwin/arm64; CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/pbr
	CGO_ENABLED=0 GOARCH=386 $(GO) vet ./...
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && GOBIN=$$dir $(GO) install $(GOTESTSUM) && export CGO_ENABLED=0 && \
	echo 'tests on linux/386 and linux/s390x' && GOARCH=386 $$dir/gotestsum --format standard-quiet $(ALONE) --packages '$(ROOTLESS) ./compiler/layers ./cmd/pbr' -- -timeout 9m && \
	GOARCH=s390x $$dir/gotestsum --format standard-quiet $(ALONE) --packages '$(ROOTLESS)' -- -timeout 9m -exec qemu-s390x

# Measures the program on four machines, ten minutes, and writes the table of docs/sizes.md; cross compares with it.
sizes: go
	GO='$(GO)' sh integration/sizes.sh write

# An upgrade from an earlier commit's program, under traffic (root): FROM=COMMIT.
FROM ?= 13b5d16
test-upgrade: tools
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && git archive $(FROM) | tar -x -C "$$dir" && \
	(cd "$$dir" && CGO_ENABLED=0 $(GO) build -trimpath -o pbr-old ./cmd/pbr) && \
	PBR_OLD=$$dir/pbr-old PBR_REQUIRE=1 $(GO) test -count=1 -run TestUpgradeUnderTraffic ./integration

# Back to an earlier commit's program, under traffic (root): BACK=COMMIT.
BACK ?= 8ecfacf
test-downgrade: tools
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && git archive $(BACK) | tar -x -C "$$dir" && \
	(cd "$$dir" && CGO_ENABLED=0 $(GO) build -trimpath -o pbr-old ./cmd/pbr) && \
	PBR_OLD=$$dir/pbr-old PBR_REQUIRE=1 $(GO) test -count=1 -run TestDowngradeUnderTraffic ./integration

test-integration: tools
	PBR_REQUIRE=$${PBR_REQUIRE-1} $(GO) test $(RACE) -count=1 -timeout 9m ./integration/... ./kernel/...

# Tests on a stock Debian kernel in QEMU: RUN=regexp, BENCH=regexp and PKG=packages choose, ACCEL=kvm or tcg is found by itself.
# PBR_KERNEL=/boot/vmlinuz-... takes another kernel, PBR_CACHE another place for downloads than ~/.cache/pbr.
# `make test` goes on where QEMU cannot run, unless PBR_REQUIRE=1; this one does not.
VM = $(GO) run ./integration/vm/run $(if $(ACCEL),-accel $(ACCEL))
test-vm: tools-vm
	@PBR_REQUIRE=$${PBR_REQUIRE-1} $(VM) $(if $(RUN),-run '$(RUN)') $(if $(BENCH),-bench '$(BENCH)') $(PKG)

# A shell in the guest.
vm-shell: tools-vm
	@PBR_REQUIRE=1 $(VM) -shell

lint:
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt these files:" $$unformatted; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

# Ten seconds for each fuzz target; FUZZTIME=10m for a night.
FUZZTIME ?= 10s
fuzz:
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg || exit 1; \
	  done; \
	done

demo: tools-demo build
	@$(GO) test -c -o bin/demo ./integration/demo
	@PBR_REQUIRE=1 PBR_BINARY=$(CURDIR)/bin/pbr bin/demo

bench: tools build
	PBR_REQUIRE=1 PBR_BINARY=$(CURDIR)/bin/pbr $(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./integration/bench $(BENCHFLAGS)
	@$(MAKE) --no-print-directory bench-commands COMMANDS='-up-to 10000'

# What whole commands cost in CPU and memory, beside nft -f of a frozen ruleset (docs/performance.md): five minutes, of which the
# list of a million addresses takes most. COMMANDS=-write puts the tables into docs; -up-to N and -rounds N choose.
.PHONY: bench-commands
COMMANDS ?=
bench-commands: tools build
	PBR_REQUIRE=1 PBR_BINARY=$(CURDIR)/bin/pbr $(GO) test -run '^$$' -bench Commands -benchtime 1x -timeout 60m ./integration/cost $(COMMANDS)

# What offload saves, in the guest, whose kernel has it: three minutes (docs/offload.md).
bench-vm: tools-vm
	@PBR_REQUIRE=1 $(VM) -timeout 15m -bench BenchmarkVMOffload ./integration/dataplane

# What a packet costs, beside other ways (docs/performance.md): two minutes. It fails where pbr costs more, of a frozen ruleset beside it, than was recorded;
# bench-record records. DATAPLANE=-quick takes less, DATAPLANE=-write measures all rows and puts table and plot into docs; -only EXPRESSION and
# -rounds N choose further.
DATAPLANE ?=
bench-dataplane: tools build
	PBR_REQUIRE=1 PBR_BINARY=$(CURDIR)/bin/pbr $(GO) test -run '^$$' -bench Dataplane -benchtime 1x -timeout 40m ./integration/dataplane $(DATAPLANE)

# Records what later runs of bench-dataplane are held to: the medians of five runs, 4 minutes. Commit what it writes, integration/dataplane/testdata/recorded.json.
.PHONY: bench-record
bench-record:
	@$(MAKE) bench-dataplane DATAPLANE=-record

# What one TCP connection carries, with and without GRO (docs/performance.md): three minutes. DATAPLANE=-write puts the table there.
bench-throughput: tools build
	PBR_REQUIRE=1 PBR_BINARY=$(CURDIR)/bin/pbr $(GO) test -run '^$$' -bench Throughput -benchtime 1x -timeout 20m ./integration/dataplane $(DATAPLANE)

# Rewrites the golden files; read the difference before you commit it.
golden:
	$(GO) test ./compiler/policy ./cmd/pbr -update
	$(GO) test ./integration -run Network -update

# PREFIX, DESTDIR and SYSCONFDIR say where; without them /usr/local and /etc.
PREFIX ?= /usr/local
install: build
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' GO='$(GO)' sh packaging/install.sh install
uninstall:
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' sh packaging/install.sh uninstall

# Packages (deb, rpm, apk, archlinux) and, with dist, tarballs, SBOM and SHA256SUMS, below dist/.
ARCHES  ?= amd64 arm64 armhf armel i386 riscv64
FORMATS ?= deb rpm apk archlinux
package: go
	@GO='$(GO)' LDFLAGS='$(LDFLAGS)' sh packaging/package.sh '$(FORMATS)' '$(ARCHES)' dist
dist: go
	@GO='$(GO)' LDFLAGS='$(LDFLAGS)' sh packaging/package.sh '$(FORMATS) tar' '$(ARCHES)' dist

# The Debian package tried for real, in a Debian 12 and a Debian 13 made of their packages: installed, first policy, upgraded below a running
# connection, removed, purged (root, apt); completion in its shells; OpenWrt's service, with the small build. lintian finds no errors. Five
# minutes on two cores; the Debians are kept in the cache.
test-package: go
	@sh integration/install-tools.sh test package
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	GO='$(GO)' LDFLAGS='$(LDFLAGS) -X main.version=v0.0.1' VERSION=0.0.1 sh packaging/package.sh deb "$$(dpkg --print-architecture)" "$$dir/old" >/dev/null; \
	GO='$(GO)' LDFLAGS='$(LDFLAGS) -X main.version=v0.0.2' VERSION=0.0.2 sh packaging/package.sh deb "$$(dpkg --print-architecture)" "$$dir/new" >/dev/null; \
	lintian --fail-on error "$$dir"/new/*.deb; \
	mv "$$dir"/old/*.deb "$$dir/old.deb"; mv "$$dir"/new/*.deb "$$dir/new.deb"; \
	GO='$(GO)' LDFLAGS='$(LDFLAGS)' sh packaging/go-build.sh small "$$dir/pbr-small"; \
	PBR_REQUIRE=1 PBR_PACKAGES=$$dir $(GO) test -count=1 -timeout 9m -v ./integration/installed

# Debian 13, booted in QEMU with its own kernel and systemd, in three ways to configure its network: what pbr's units do at boot and
# after it, without a hand (root, apt). The Debian is kept in the cache. RUN=regexp chooses.
test-boot: go
	@sh integration/install-tools.sh demo test vm boot
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	for version in old:0.0.1 new:0.0.2; do \
	  GO='$(GO)' LDFLAGS="$(LDFLAGS) -X main.version=v$${version#*:}" VERSION=$${version#*:} sh packaging/package.sh deb amd64 "$$dir/$${version%:*}" >/dev/null; \
	  mv "$$dir/$${version%:*}"/*.deb "$$dir/$${version%:*}.deb"; \
	done; \
	PBR_REQUIRE=1 PBR_PACKAGES=$$dir $(GO) test -count=1 -timeout 60m -v $(if $(RUN),-run '$(RUN)') ./integration/boot

# Dashboard and alerts against a live scrape, with promtool of Debian's prometheus, which is not installed.
test-prometheus: tools
	@bin=$$(sh integration/promtool.sh) && PATH=$$bin:$$PATH PBR_PROMTOOL=1 PBR_REQUIRE=1 $(GO) test -count=1 -run TestDashboards ./integration

# The page of pbr watch in a headless Chromium, whose packages are 100 MB: a line dies, questions are asked, axe-core looks, 200 uplinks are quick.
tools-web: tools-demo
	@sh integration/install-tools.sh web
test-web: tools-web
	@axe=$$(sh integration/axe.sh) && PBR_AXE=$$axe PBR_WEB=1 PBR_REQUIRE=1 \
	$(GO) run $(GOTESTSUM) --format standard-verbose $(ALONE) --packages ./integration/web -- -count=1 -timeout 9m -run 'TestBrowser|TestQuick|TestAccessible'

# Pictures of each view below SCREENSHOTS (light, dark, 400 px wide, 200 uplinks), and those of docs.
SCREENSHOTS ?= $(CURDIR)/bin/screenshots
screenshots: tools-web
	@PBR_SCREENSHOTS=$(SCREENSHOTS) PBR_WEB=1 PBR_REQUIRE=1 $(GO) test -count=1 -timeout 9m -run TestScreenshots ./integration/web
	@echo "pictures are in $(SCREENSHOTS) and docs/*.webp: look at them"

# The Ansible role, in a network namespace.
test-ansible: tools
	@sh integration/install-tools.sh ansible
	@PBR_ANSIBLE=1 PBR_REQUIRE=1 $(GO) test -count=1 -run TestAnsibleRole ./integration

# Two builds of the last commit in two directories have the same sums: two minutes an architecture.
test-reproducible: go
	@sh integration/reproducible.sh "$(if $(filter command line,$(origin ARCHES)),$(ARCHES),amd64)"

# The map of the packages, and sizes that tell whether the code stays easy to read: OF=DIRECTORY measures another checkout.
anchors: go
	@$(GO) run ./integration/anchors $(OF)

man: build
	bin/pbr man > docs/pbr.8

clean:
	rm -rf bin
