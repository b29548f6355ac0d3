package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/facts"
	"pbr/kernel/nft"
	"pbr/kernel/route"
)

// Facts reads what the network namespace has besides pbr's objects, the named settings, and what
// others have in pbr's tables. It changes nothing. What it is not permitted to read is listed in
// Unknown.
func (k *Kernel) Facts(settings []string, tables []uint32) *facts.Facts {
	f := &facts.Facts{Sysctls: map[string]string{}}
	note := func(what string, err error) {
		if err != nil {
			f.Unknown = append(f.Unknown, facts.Unknown{What: what, Why: err.Error(),
				Confined: errors.Is(err, fs.ErrPermission) && os.Geteuid() == 0})
		}
	}
	var err error
	f.Release, err = kernelRelease()
	note("kernel version", err)
	f.Host, err = k.HostFacts(plan.Needs{Flowtables: true})
	note("interfaces", err)
	f.Ports, err = k.route.Ports()
	note("bridges", err)
	f.Rules, err = k.route.AllRules()
	note("ip rules", err)
	f.Defaults, err = k.route.Defaults(f.Rules)
	note("routing tables of others", err)
	f.HalfDefaults, f.Main, err = k.route.Main()
	note("main's half-default routes", err)
	f.Routes, err = k.route.Others(tables)
	note("routes in pbr's tables", err)
	if err = mayAdminister(); err == nil {
		var o nft.OfOthers
		o, err = k.nft.Others(k.route.LinkName)
		f.Marks, f.SourceNAT, f.Translations, f.Untracked = o.Marks, o.SourceNAT, o.Translations, o.Untracked
		f.Offloads = o.Offloads
		f.ReverseFilters, f.Dropping, f.Chains = o.ReverseFilters, o.Dropping, o.Chains
	}
	note("nftables of others", err)
	f.LegacyTables, err = legacyTables()
	note("iptables-legacy", err)
	f.Programs, err = programs()
	note("programs", err)
	if f.Features, err = features(); err != nil {
		note("kernel features", err)
	}
	for _, path := range settings {
		v, err := route.ReadSysctl(path)
		switch {
		case err == nil:
			f.Sysctls[path] = v
		case !errors.Is(err, fs.ErrNotExist):
			note("sysctl "+path, err)
		}
	}
	f.State, err = k.state()
	note("state", err)
	return f
}

// Sysctls reads settings; those that do not exist or cannot be read are omitted.
func (k *Kernel) Sysctls(paths []string) map[string]string {
	out := map[string]string{}
	for _, path := range paths {
		if v, err := route.ReadSysctl(path); err == nil {
			out[path] = v
		}
	}
	return out
}

// Beside reads what doctor.Live judges: the host facts for the needs, and the translations of
// others' nftables. Without root only the host facts are known; Unknown lists the rest.
func (k *Kernel) Beside(needs plan.Needs) (*facts.Facts, error) {
	host, err := k.HostFacts(needs)
	if err != nil {
		return nil, err
	}
	f := &facts.Facts{Host: host}
	if err := mayAdminister(); err != nil {
		f.Unknown = append(f.Unknown, facts.Unknown{What: "nftables of others", Why: err.Error(), Confined: os.Geteuid() == 0})
		return f, nil
	}
	o, err := k.nft.Others(k.route.LinkName)
	f.Translations = o.Translations
	return f, err
}

func kernelRelease() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("asking for the kernel's version: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// state returns where pbr's own state is, and whether it could be written; the error means that
// only root can find out.
func (k *Kernel) state() (facts.State, error) {
	s := facts.State{Dir: k.dir}
	if _, err := os.Stat(k.path(journalFile)); err == nil {
		s.Taken = true
	}
	dir := k.dir
	for {
		_, err := os.Stat(dir)
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	err := unix.Access(dir, unix.W_OK)
	if err != nil && os.Geteuid() != 0 {
		return s, fmt.Errorf("%s can only be read by root", dir)
	}
	if err != nil {
		s.Unwritable = fmt.Sprintf("%s: %v", dir, err)
	}
	return s, nil
}

// legacyTables lists the tables that iptables-legacy has created (iptables(8)).
func legacyTables() ([]string, error) {
	var out []string
	for _, family := range []string{"ip", "ip6"} {
		b, err := os.ReadFile("/proc/thread-self/net/" + family + "_tables_names")
		if errors.Is(err, fs.ErrNotExist) {
			continue // the kernel has no iptables-legacy
		}
		if err != nil {
			return nil, fmt.Errorf("listing the tables of iptables-legacy: %w", err)
		}
		for _, table := range strings.Fields(string(b)) {
			out = append(out, family+" "+table)
		}
	}
	return out, nil
}

// programs lists the names of the processes in this network namespace, and of those whose namespace
// cannot be read. Processes that end meanwhile are omitted.
func programs() ([]string, error) {
	here, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("identifying the network namespace: %w", err)
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var out []string
	for _, dir := range dirs {
		ns, err := os.Readlink(dir + "/ns/net")
		if !errors.Is(err, fs.ErrPermission) && (err != nil || ns != here) {
			continue
		}
		if comm, err := os.ReadFile(dir + "/comm"); err == nil {
			out = append(out, strings.TrimSpace(string(comm)))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
