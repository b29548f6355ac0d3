// Package lab builds throw-away networks out of network namespaces: hosts joined by veth
// pairs, an internet of ISPs behind a router, sockets and raw frames inside any of them.
//
// A Lab belongs to one test and disappears with it. Names are unique on the machine, so that
// labs work side by side, and nothing is ever done in the namespace that the test runs in.
package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// RequireEnv, set to 1, turns a skip of a test for lack of privilege into a failure.
const RequireEnv = "PBR_REQUIRE"

// namePrefix starts the name of every namespace: pbr-<pid>-<lab>-<host>.
const namePrefix = "pbr-"

// netnsDir is where iproute2 keeps named namespaces (ip-netns(8)).
const netnsDir = "/run/netns"

var labCounter atomic.Int64

// Lab is a set of hosts that live as long as a test does.
type Lab struct {
	t      testing.TB
	prefix string

	mu    sync.Mutex
	hosts map[string]*Host
}

// New makes an empty lab. Without root the test is skipped, or fails if RequireEnv is 1.
func New(t testing.TB) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		const why = "network namespaces need root"
		if os.Getenv(RequireEnv) == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	sweepOnce.Do(sweep)
	l := &Lab{
		t:      t,
		prefix: fmt.Sprintf("%s%d-%d-", namePrefix, os.Getpid(), labCounter.Add(1)),
		hosts:  map[string]*Host{},
	}
	t.Cleanup(l.remove)
	return l
}

// Host makes a host: a namespace with its loopback up and forwarding off.
func (l *Lab) Host(name string) *Host {
	l.t.Helper()
	h := &Host{Name: name, NS: l.prefix + name, lab: l}
	// The host is known to the lab before its namespace exists, so that it is removed even if
	// making it stops half-way.
	l.mu.Lock()
	_, twice := l.hosts[name]
	l.hosts[name] = h
	l.mu.Unlock()
	if twice {
		l.t.Fatalf("lab has two hosts named %s", name)
	}
	if err := h.create(); err != nil {
		l.t.Fatalf("making host %s: %v", name, err)
	}
	return h
}

// Veth joins two hosts by a virtual cable; a and b name its ends. Both ends are up.
func (l *Lab) Veth(ha *Host, a string, hb *Host, b string) {
	l.t.Helper()
	ha.IP(
		fmt.Sprintf("link add %s type veth peer name %s netns %s", a, b, hb.NS),
		fmt.Sprintf("link set %s up", a),
	)
	hb.IP(fmt.Sprintf("link set %s up", b))
}

// tunnelMAC is the address of both ends of a Tunnel: a NOARP device sends to its own address.
const tunnelMAC = "02:00:00:00:00:01"

// Tunnel joins two hosts by a cable that knows no neighbours, as a tunnel does: whatever is
// routed to one end comes out of the other.
func (l *Lab) Tunnel(ha *Host, a string, hb *Host, b string) {
	l.t.Helper()
	ha.IP(
		fmt.Sprintf("link add %s address %s type veth peer name %s address %s netns %s", a, tunnelMAC, b, tunnelMAC, hb.NS),
		fmt.Sprintf("link set %s arp off up", a),
	)
	hb.IP(fmt.Sprintf("link set %s arp off up", b))
}

// remove takes all hosts away; it continues after errors and reports them all.
func (l *Lab) remove() {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, h := range l.hosts {
		errs = append(errs, h.remove())
	}
	if err := errors.Join(errs...); err != nil {
		l.t.Errorf("removing lab %s: %v", l.prefix, err)
	}
}

var sweepOnce sync.Once

// sweep removes the namespaces of test processes that were killed before they could clean up.
func sweep() {
	entries, err := os.ReadDir(netnsDir)
	if err != nil {
		return // no namespace was ever made on this machine
	}
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), namePrefix)
		field, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(field)
		if !ours || err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		h := &Host{NS: e.Name()}
		_ = h.remove() // another process may be sweeping the same name
	}
}

func netnsPath(name string) string { return filepath.Join(netnsDir, name) }
