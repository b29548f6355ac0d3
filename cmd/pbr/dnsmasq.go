package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"pbr/compiler"
	"pbr/compiler/policy"
	"pbr/render"
)

// dnsmasqUnit restarts dnsmasq when its file changes, if it is enabled.
const dnsmasqUnit = "pbr-dnsmasq.path"

// printDnsmasq prints the file that has dnsmasq fill the lists of domains.
func printDnsmasq(w io.Writer, doc *policy.Document) error {
	var names []render.DnsmasqName
	for _, n := range compiler.Names(doc) {
		one := render.DnsmasqName{Name: n.Name}
		for _, s := range n.Sets {
			one.Sets, one.Families = append(one.Sets, s.Name), append(one.Families, s.Family)
		}
		names = append(names, one)
	}
	return render.Dnsmasq(w, names)
}

// dnsmasqBounds returns what bounds sets that dnsmasq fills alone; empty where it fills none.
func dnsmasqBounds(doc *policy.Document) string {
	if doc.Settings.Dnsmasq == "" || !policy.HasDomains(doc) {
		return ""
	}
	var sizes []string
	for i := range doc.Lists {
		if l := &doc.Lists[i]; len(l.DomainSources()) > 0 {
			sizes = append(sizes, fmt.Sprintf("%s %d", l.Name, l.Size()))
		}
	}
	return fmt.Sprintf("dnsmasq: while pbr watch does not run, addresses that dnsmasq puts into lists have no "+
		"timeout and stay; a full set takes no more (size: %s, each for IPv4 and IPv6)\n",
		strings.Join(sizes, ", "))
}

// dnsmasqChange returns what [pbr] dnsmasq is to have, and nil if it has that already, or none is
// named.
func dnsmasqChange(doc *policy.Document) ([]byte, error) {
	path := doc.Settings.Dnsmasq
	if path == "" {
		return nil, nil
	}
	var want bytes.Buffer
	if err := printDnsmasq(&want, doc); err != nil {
		return nil, err
	}
	have, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("[pbr] dnsmasq: %w", err)
	case bytes.Equal(have, want.Bytes()):
		return nil, nil
	case len(have) > 0 && !bytes.HasPrefix(have, []byte(render.DnsmasqHead)):
		return nil, fmt.Errorf("[pbr] dnsmasq: %s is not pbr's file: name another one, or remove it", path)
	}
	return want.Bytes(), nil
}

// writeDnsmasq brings the file up to date, and reports whether it was not. It is not for a dnsmasq
// that would not start with it.
func writeDnsmasq(doc *policy.Document) (changed bool, err error) {
	text, err := dnsmasqChange(doc)
	if text == nil || err != nil {
		return false, err
	}
	if version := dnsmasqLacks(); version != "" {
		return false, fmt.Errorf(
			"[pbr] dnsmasq: dnsmasq %s cannot fill nftables sets, and would not start with %s, which is "+
				"left as it is: install one with nftset (2.87 or later; OpenWrt: dnsmasq-full), or leave the key out",
			version, doc.Settings.Dnsmasq)
	}
	path := doc.Settings.Dnsmasq
	// dnsmasq omits files of a directory whose names begin with a dot.
	next := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err = os.WriteFile(next, text, 0o644); err == nil {
		err = os.Chmod(next, 0o644)
	}
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		_ = os.Remove(next)
		return false, fmt.Errorf("[pbr] dnsmasq: writing %s: %w", path, err)
	}
	return true, nil
}

// removeDnsmasq removes a file that pbr wrote.
func removeDnsmasq(path string) error {
	have, err := os.ReadFile(path)
	if path == "" || err != nil || !bytes.HasPrefix(have, []byte(render.DnsmasqHead)) {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("[pbr] dnsmasq: %w", err)
	}
	return nil
}

// reportDnsmasq writes the file after an apply, and says what dnsmasq needs: it reads the file only
// when it starts.
func (c command) reportDnsmasq(o *applyOptions) error {
	if o.read == nil || !o.dnsmasq {
		return nil
	}
	doc := o.read.doc
	if _, err := writeDnsmasq(doc); err != nil {
		return fmt.Errorf("the policy is in force, but dnsmasq's file could not be written: %w", err)
	}
	if !dnsmasqRestarts() {
		fmt.Fprintf(c.stderr, "pbr: %s changed: restart dnsmasq (systemctl restart dnsmasq); %s does that "+
			"by itself (systemctl enable --now %[2]s)\n", doc.Settings.Dnsmasq, dnsmasqUnit)
	}
	return nil
}

// dnsmasqRestarts reports whether the unit is enabled that restarts dnsmasq.
func dnsmasqRestarts() bool {
	for _, dir := range []string{"/etc/systemd/system", "/run/systemd/system"} {
		if links, _ := filepath.Glob(filepath.Join(dir, "*.wants", dnsmasqUnit)); len(links) > 0 {
			return true
		}
	}
	return false
}
