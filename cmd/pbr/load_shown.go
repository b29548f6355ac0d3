package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/kernel"
)

// loadShown is load for commands that show what the kernel does, or change what the policy leaves
// to commands, such as the members of lists: while the file is broken or missing, they go on with
// the policy in force, as it was when it was applied, and say so. Where none of that file is in
// force, the file's errors are the result. If another file is in force, it says so first.
func (c command) loadShown(ctx *cli.Context, k *kernel.Kernel) (*policyFile, error) {
	f, err := load(ctx)
	c.warnOtherFile(ctx, k, f)
	return c.orHeld(ctx, k, f, err)
}

// orHeld returns the policy file that load returned, or the policy in force, as loadShown does.
func (c command) orHeld(ctx *cli.Context, k *kernel.Kernel, f *policyFile, err error) (*policyFile, error) {
	if err == nil && !f.diagnostics.HasErrors() {
		return f, c.report(f, f.diagnostics)
	}
	held, at := heldPolicy(ctx, k)
	if held == nil {
		if err == nil {
			err = c.report(f, f.diagnostics)
		}
		return nil, err
	}
	wrong := fmt.Sprint(err)
	if err == nil {
		_ = c.report(f, f.diagnostics)
		wrong = fmt.Sprintf("policy file %s is broken", f.display)
	}
	fmt.Fprintf(c.stderr, "pbr: warning: %s: going on with the policy in force, applied %s ago\n", wrong, span(time.Since(at)))
	return held, nil
}

// warnOtherFile says which policy file is in force, if it is not the one of the command line. f is
// that one as load returned it.
func (c command) warnOtherFile(ctx *cli.Context, k *kernel.Kernel, f *policyFile) {
	if other := otherInForce(ctx, k, f); other != nil {
		fmt.Fprintf(c.stderr, "pbr: warning: %s%s\n", other.text, other.hint(": "))
	}
}

// otherFile is a policy that is in force, and that the command line does not name.
type otherFile struct {
	// text says so. path is empty if it was a pipe.
	text, path string
}

// hint is what to do about it, after a separator; empty if nothing can be done.
func (o *otherFile) hint(separator string) string {
	if o.path == "" {
		return ""
	}
	return separator + "name it with -c " + o.path
}

// otherInForce is the policy in force, or on trial, if it is not the one of the command line:
// neither that file nor one with the same text. f is the command line's as load returned it.
func otherInForce(ctx *cli.Context, k *kernel.Kernel, f *policyFile) *otherFile {
	name, err := configName(ctx)
	now := inForceNow(k)
	if err != nil || now == nil || sameFile(name, now.Path) || f != nil && f.text != nil && f.text.Hash == now.Hash {
		return nil
	}
	return &otherFile{text: fmt.Sprintf("%s is in force, not %s", cmp.Or(now.Path, now.Name), name), path: now.Path}
}

// inForceNow says which policy is in force: the one on trial, or else the one that was applied
// last; nil if that is not known.
func inForceNow(k *kernel.Kernel) *applied.InForce {
	s := applied.Open(k.Dir())
	if pending, err := k.Pending(); err == nil && pending != nil {
		if p, err := s.Trial(); err == nil {
			return &applied.InForce{Name: p.Name, Path: p.Path, Hash: p.Hash}
		}
	}
	return s.InForce()
}

// sameFile reports whether two names are of one file, which need not exist.
func sameFile(name, path string) bool {
	if abs, err := filepath.Abs(name); err == nil && abs == path {
		return true
	}
	a, err := os.Stat(name)
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// heldPolicy is the policy in force as it was when it was applied, and when that was; nil if that
// is not known, or if another file than the command line's was applied.
func heldPolicy(ctx *cli.Context, k *kernel.Kernel) (*policyFile, time.Time) {
	name, err := configName(ctx)
	if err != nil {
		return nil, time.Time{}
	}
	path, err := filepath.Abs(name)
	s := applied.Open(k.Dir())
	now := s.InForce()
	if err != nil || now == nil || now.Path != path {
		return nil, time.Time{}
	}
	for _, read := range []func() (*applied.Policy, error){s.Trial, s.Kept} {
		if p, err := read(); err == nil && p.Hash == now.Hash {
			if f := loadAgain(p); !f.diagnostics.HasErrors() {
				return f, now.At
			}
		}
	}
	return nil, time.Time{}
}
