package lab

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// GuestEnv is set in the guest of `make test-vm`, to "kvm" or "tcg" (every instruction emulated).
const GuestEnv = "PBR_VM"

// guestTests and guestBenchmarks start the names of the tests that call NeedKernel: where
// instructions are emulated, the guest runs these and few others.
const (
	guestTests      = "TestVM"
	guestBenchmarks = "BenchmarkVM"
)

// kernelParts are parts of Linux that not every kernel has, and what fails on one without. The
// commands run in a namespace of their own.
var kernelParts = map[string][]string{
	"bridge":        {"ip", "link", "add", "part0", "type", "bridge"},
	"dummy":         {"ip", "link", "add", "part0", "type", "dummy"},
	"netem":         {"tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"},
	"nf_flow_table": {"nft", "add table inet part; add flowtable inet part f { hook ingress priority 0; devices = { lo }; }"},
	"nft_queue":     {"nft", "add table inet part; add chain inet part c; add rule inet part c queue flags bypass to 1"},
	"ppp":           {"sh", "-c", "exec 3</dev/ppp"},
	"vlan":          {"sh", "-c", "ip link add part0 type veth && ip link add link part0 name part1 type vlan id 5"},
	"vrf":           {"ip", "link", "add", "part0", "type", "vrf", "table", "10"},
	"wireguard":     {"ip", "link", "add", "part0", "type", "wireguard"},
}

// KernelParts returns the names of all parts that NeedKernel knows, sorted.
func KernelParts() []string { return slices.Sorted(maps.Keys(kernelParts)) }

// NeedKernel skips the test where the kernel lacks one of the parts (see kernelParts), with the
// reason; in the guest of `make test-vm`, which exists to have them, the lack is a failure. The
// test's name has to begin with TestVM.
func NeedKernel(t testing.TB, parts ...string) {
	t.Helper()
	needName(t)
	l := New(t)
	for _, part := range parts {
		probe := kernelParts[part]
		if probe == nil {
			t.Fatalf("lab knows no part %q of the kernel", part)
		}
		h := l.Host("part-" + strings.ReplaceAll(part, "_", ""))
		res := h.Exec(probe[0], probe[1:]...)
		if res.Code == 0 {
			continue
		}
		if InGuest() {
			t.Fatalf("the guest's kernel lacks %s: %s", part, res.Stderr)
		}
		t.Skipf("this kernel lacks %s; make test-vm has one with it", part)
	}
}

// NeedProgram skips the test where one of the programs is missing, with the reason, or fails it if
// RequireEnv is 1. integration/install-tools.sh installs them.
func NeedProgram(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		_, err := exec.LookPath(name)
		if err != nil && os.Getenv(RequireEnv) == "1" {
			t.Fatal(err)
		}
		if err != nil {
			t.Skip(err)
		}
	}
}

// NeedGuest skips the test anywhere but in the guest of `make test-vm`, whose file system it may
// change. The test's name has to begin with TestVM.
func NeedGuest(t testing.TB) {
	t.Helper()
	needName(t)
	if !InGuest() {
		t.Skip("this needs a machine of its own; make test-vm is one")
	}
}

func needName(t testing.TB) {
	t.Helper()
	if !strings.HasPrefix(t.Name(), guestTests) && !strings.HasPrefix(t.Name(), guestBenchmarks) {
		t.Fatalf("the name of a test that runs in the guest begins with %s, that of a benchmark with %s", guestTests, guestBenchmarks)
	}
}

// InGuest reports whether the test runs in the guest of `make test-vm`.
func InGuest() bool { return os.Getenv(GuestEnv) != "" }

// Emulated reports whether every instruction is emulated: about ten times slower, and figures mean
// little.
func Emulated() bool { return os.Getenv(GuestEnv) == "tcg" }

// Patience returns how long to wait for what is done within a limit on a real processor.
func Patience(limit time.Duration) time.Duration {
	if Emulated() {
		return 4 * limit
	}
	return limit
}
