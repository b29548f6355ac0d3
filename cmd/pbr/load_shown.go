package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	held, at := heldPolicy(ctx, k, f)
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

// loadOrHeld is loadShown for a command that has begun, and said what there is to say.
func loadOrHeld(ctx *cli.Context, k *kernel.Kernel) (*policyFile, error) {
	f, err := load(ctx)
	if err == nil && !f.diagnostics.HasErrors() {
		return f, nil
	}
	if held, _ := heldPolicy(ctx, k, f); held != nil {
		return held, nil
	}
	return nil, cmp.Or(err, error(exitCode(exitError)))
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
	// text says so. name is that of the policy in force, and path its file's, empty if it was a
	// pipe.
	text, name, path string
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
	name, now, is := askInForce(ctx, k, f)
	if now == nil || is {
		return nil
	}
	inForce := cmp.Or(now.Path, now.Name)
	return &otherFile{text: fmt.Sprintf("%s is in force, not %s", inForce, name), name: inForce, path: now.Path}
}

// heldPolicy is the policy in force, or on trial, as it was when it was applied, and when that was;
// nil if that is not known, or if it is not the one of the command line. f is that one as load
// returned it. Where the command line names none, and there is no default file, it is any.
func heldPolicy(ctx *cli.Context, k *kernel.Kernel, f *policyFile) (*policyFile, time.Time) {
	name, now, is := askInForce(ctx, k, f)
	if now == nil || !is && !(name == defaultConfig && missing(name)) {
		return nil, time.Time{}
	}
	text := applied.Open(k.Dir()).TextOf(now)
	if text == nil {
		return nil, time.Time{}
	}
	if held := loadAgain(text); !held.diagnostics.HasErrors() {
		return held, now.At
	}
	return nil, time.Time{}
}

func missing(file string) bool {
	_, err := os.Stat(file)
	return errors.Is(err, fs.ErrNotExist)
}

// askInForce returns the name of the command line's policy file, the policy in force, or nil, and
// whether the two are one. f is the command line's as load returned it.
func askInForce(ctx *cli.Context, k *kernel.Kernel, f *policyFile) (name string, now *applied.InForce, is bool) {
	name, err := configName(ctx)
	if err != nil {
		return "", nil, false
	}
	if now = inForceNow(k); now == nil {
		return name, nil, false
	}
	var text *applied.Policy
	if f != nil {
		text = f.text
	}
	return name, now, now.Is(name, text)
}

// inForceNow says which policy is in force: the one on trial, or else the one that was applied
// last; nil if that is not known.
func inForceNow(k *kernel.Kernel) *applied.InForce {
	pending, err := k.Pending()
	return applied.Open(k.Dir()).Now(err == nil && pending != nil)
}
