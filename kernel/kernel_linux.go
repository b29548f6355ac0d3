package kernel

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/cgroup"
	"pbr/kernel/members"
	"pbr/kernel/nft"
	"pbr/kernel/route"
	"pbr/kernel/state"
)

// Kernel is the network namespace in which Open was called. Only one goroutine may use it at a
// time, and its thread has to stay in that namespace (settings are reached through /proc/sys).
type Kernel struct {
	dir   string
	route *route.Conn
	nft   *nft.Conn
	lock  *os.File
	// applied is the state after the last Apply or Update; nil if it is unknown, or if someone else
	// may have changed it.
	applied *appliedState
	// released is what k wrote into the lock file when it released the lock.
	released string
	// owned is what Events treats as ours.
	owned atomic.Pointer[owned]
	// late are the answers to recently deleted connections.
	late lateAnswers
	// settings are the values of the settings that the plan in force sets, for Events.
	settings atomic.Pointer[map[string]string]
	// filled are the sets of the plan in force that others may fill. Events does not report changes
	// of their members.
	filled atomic.Pointer[map[string]bool]
	// offload caches what the kernel supports.
	offload offload
	// cgroups are the control groups in the last policy's sets.
	cgroups cgroup.Watch
	// learning is the state of reading DNS answers.
	learning learning
	// compareAll has everything compared; compared is when that was done last.
	compareAll bool
	compared   time.Time
	// beside are the other connections that change run-time sets.
	beside []*nft.Conn
	// step is called before each step of Apply and Flush with its description; tests stop the
	// process there.
	step func(what string)
}

// Open connects to the current network namespace, with state below stateDir (see DefaultStateDir).
// It creates no file.
func Open(stateDir string) (*Kernel, error) {
	id, err := namespaceID()
	if err != nil {
		return nil, err
	}
	k := &Kernel{dir: filepath.Join(stateDir, id), step: func(string) {}}
	if k.route, err = route.Open(); err != nil {
		return nil, err
	}
	if k.nft, err = nft.Open(); err != nil {
		return nil, errors.Join(err, k.route.Close())
	}
	k.nft.Ledger = nft.NewLedger(k.path(ledgerFile))
	k.SeedMembers(members.Seeds(state.Find(k.dir), time.Now))
	return k, nil
}

// RunDir returns Kernel.Dir of the current network namespace, below the default state directory. It
// needs no privilege and creates nothing; it is empty if the namespace cannot be identified.
func RunDir() string {
	id, err := namespaceID()
	if err != nil {
		return ""
	}
	return filepath.Join(DefaultStateDir, id)
}

// Close closes the connections.
func (k *Kernel) Close() error { return errors.Join(k.route.Close(), k.nft.Close()) }

// Dir returns the state directory of this network namespace. It may not exist yet.
func (k *Kernel) Dir() string { return k.dir }

func (k *Kernel) path(name string) string { return filepath.Join(k.dir, name) }

// HostFacts reads the host facts that a compiler needs.
func (k *Kernel) HostFacts(needs plan.Needs) (plan.HostFacts, error) {
	m, err := k.route.HostFacts(needs.Gateways)
	if err == nil {
		m = k.MoreHostFacts(m, needs)
	}
	return m, err
}

// MoreHostFacts returns host facts that were read for the needs of routes alone (Needs.OfRoutes)
// with those that a plan needs besides.
func (k *Kernel) MoreHostFacts(m plan.HostFacts, needs plan.Needs) plan.HostFacts {
	m.Links = maps.Clone(m.Links)
	if needs.Flowtables {
		k.offload.learn(k.nft, &m, needs.Hardware)
	}
	if needs.Clock {
		k.readClock(&m)
	}
	k.readCgroups(&m, needs.Cgroups)
	k.tap(&m, needs.Queue)
	return m
}

// Traffic returns the byte counts of interfaces since they were created; interfaces that do not
// exist are omitted.
func (k *Kernel) Traffic(interfaces []string) (map[string]route.Traffic, error) {
	return k.route.Traffic(interfaces)
}

// ReadHostFacts reads the host facts that a plan needs. It needs no privilege; without it, features
// that it could not test count as present.
func ReadHostFacts(needs plan.Needs) (plan.HostFacts, error) {
	k, err := Open(DefaultStateDir)
	if err != nil {
		return plan.HostFacts{}, err
	}
	m, err := k.HostFacts(needs)
	return m, errors.Join(err, k.Close())
}

// Prefixes of namespaces' names, by what identifies the namespace.
const (
	cookiePrefix = "net-"
	inodePrefix  = "ino-"
)

// namespaceID names the current network namespace: by its cookie (SO_NETNS_COOKIE, Linux 5.14),
// which is unique until the next boot, or by the inode of its file, which may be reused.
func namespaceID() (string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		if err == nil {
			return fmt.Sprintf(cookiePrefix+"%x", cookie), nil
		}
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return "", fmt.Errorf("identifying the network namespace: %w", err)
	}
	return fmt.Sprintf(inodePrefix+"%d", st.Ino), nil
}

// mayAdminister fails when the thread lacks CAP_NET_ADMIN (capabilities(7)).
func mayAdminister() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fmt.Errorf("asking for capabilities: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return fmt.Errorf("reading nftables and changing anything needs the capability CAP_NET_ADMIN: %w", unix.EPERM)
	}
	return nil
}

// Interrupted reports whether an error only means that others kept changing what was being read or
// changed. Try again then.
func Interrupted(err error) bool {
	return errors.Is(err, route.ErrInterrupted) || errors.Is(err, nft.ErrChanged)
}

// Moved reports whether the kernel's error can mean that a link, an address or a gateway changed
// since the host facts were read: a link is down (ENETDOWN) or gone (ENODEV, and ENOENT where a
// setting or a flowtable names it), or a gateway is unreachable (ENETUNREACH, EHOSTUNREACH, and
// EINVAL on older kernels).
func Moved(err error) bool {
	return slices.ContainsFunc([]unix.Errno{
		unix.ENETDOWN, unix.ENODEV, unix.ENXIO, unix.ENOENT, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EADDRNOTAVAIL, unix.EINVAL,
	}, func(e unix.Errno) bool { return errors.Is(err, e) })
}
