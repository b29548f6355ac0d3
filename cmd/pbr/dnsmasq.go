package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"pbr/compiler"
	"pbr/compiler/policy"
	"pbr/kernel/facts"
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
		return nil, fmt.Errorf("[pbr] dnsmasq: %s is not a file of pbr's: name another one, or remove it", path)
	}
	return want.Bytes(), nil
}

// writeDnsmasq brings the file up to date, and reports whether it was not.
func writeDnsmasq(doc *policy.Document) (changed bool, err error) {
	text, err := dnsmasqChange(doc)
	if text == nil || err != nil {
		return false, err
	}
	path := doc.Settings.Dnsmasq
	// dnsmasq leaves out files of a directory whose names begin with a dot.
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
		return fmt.Errorf("the policy is in force, but not what dnsmasq is to know: %w", err)
	}
	if !dnsmasqRestarts() {
		fmt.Fprintf(c.stderr, "pbr: %s changed: restart dnsmasq (systemctl restart dnsmasq); %s does that by itself (systemctl enable --now %[2]s)\n", doc.Settings.Dnsmasq, dnsmasqUnit)
	}
	return nil
}

// dnsmasqFact finds a dnsmasq in this network namespace.
func dnsmasqFact(doc *policy.Document) (f facts.Dnsmasq) {
	file, err := os.Stat(doc.Settings.Dnsmasq)
	here, hereErr := os.Readlink("/proc/self/ns/net")
	if err != nil || hereErr != nil {
		return f
	}
	f.Written = file.ModTime()
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		comm, _ := os.ReadFile(dir + "/comm")
		there, _ := os.Readlink(dir + "/ns/net")
		info, err := os.Stat(dir)
		if string(comm) != "dnsmasq\n" || there != here || err != nil {
			continue
		}
		f.PID, _ = strconv.Atoi(filepath.Base(dir))
		f.Started = info.ModTime() // procfs: when the process began
	}
	return f
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
