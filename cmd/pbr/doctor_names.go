package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel"
	"pbr/kernel/doctor"
	"pbr/kernel/facts"
)

// namesFact finds out whether the answers that clients get can be read.
func namesFact(k *kernel.Kernel, doc *policy.Document, host plan.HostFacts, report *daemon.Report) (n facts.Names, err error) {
	if !policy.HasDomains(doc) {
		return n, nil
	}
	flows, err := k.Flows()
	n = doctor.ClientDNS(func(yield func(doctor.Connection) bool) {
		for i := range flows {
			o := &flows[i].Orig
			if !yield(doctor.Connection{Client: o.Src, Server: o.Dst, Port: o.DPort}) {
				return
			}
		}
	}, doc, host)
	if report != nil && report.Answers != nil {
		a := report.Answers
		n.Watched, n.Unanswered = time.Since(a.Since), time.Since(a.Since)
		if a.Count > 0 {
			n.Unanswered = time.Since(a.Last)
		}
	}
	return n, err
}

// dnsmasqFact finds a dnsmasq in this network namespace, where the policy names a file for it.
func dnsmasqFact(k *kernel.Kernel, doc *policy.Document) (f facts.Dnsmasq) {
	if doc.Settings.Dnsmasq == "" {
		return f
	}
	f.NoNftset = dnsmasqLacks()
	for _, name := range compiler.Names(doc) {
		for _, set := range name.Sets {
			if made := k.RunTimeSetMade(set.Name); made.After(f.Made) {
				f.Made = made
			}
		}
	}
	file, err := os.Stat(doc.Settings.Dnsmasq)
	here, hereErr := os.Readlink("/proc/thread-self/ns/net")
	if err != nil || hereErr != nil {
		return f
	}
	f.Written = file.ModTime()
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		comm, _ := os.ReadFile(dir + "/comm")
		there, _ := os.Readlink(dir + "/ns/net")
		started, ok := startOf(dir)
		if string(comm) != "dnsmasq\n" || there != here || !ok {
			continue
		}
		f.PID, _ = strconv.Atoi(filepath.Base(dir))
		f.Started = started
	}
	return f
}

// startOf is when the process of a directory of procfs began (proc_pid_stat(5), field 22).
func startOf(dir string) (at time.Time, ok bool) {
	const field, ticks = 22, 100 // USER_HZ
	b, err := os.ReadFile(dir + "/stat")
	_, rest, found := strings.Cut(string(b), ") ") // behind the name
	fields := strings.Fields(rest)
	if err != nil || !found || len(fields) <= field-3 {
		return at, false
	}
	n, err := strconv.ParseInt(fields[field-3], 10, 64)
	return time.Now().Add(time.Duration(n)*time.Second/ticks - kernel.Uptime()), err == nil
}

// dnsmasqPatience is how long dnsmasq may take to tell what it can.
const dnsmasqPatience = 5 * time.Second

// dnsmasqLacks returns the version of the dnsmasq that is installed, if it cannot fill nftables
// sets and so would not start with our file; empty if it can, or none is found.
func dnsmasqLacks() (version string) {
	ctx, cancel := context.WithTimeout(context.Background(), dnsmasqPatience)
	defer cancel()
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin"} {
		out, err := exec.CommandContext(ctx, filepath.Join(dir, "dnsmasq"), "--version").Output()
		if err == nil {
			return lackingNftset(string(out))
		}
	}
	return ""
}

// lackingNftset reads what dnsmasq --version says.
func lackingNftset(said string) (version string) {
	words := strings.Fields(said)
	if len(words) < 3 || words[1] != "version" {
		return ""
	}
	for _, word := range words {
		if word == "nftset" {
			return ""
		}
	}
	return words[2]
}
