package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// check and doctor warn of a hook that is not there, or that others may change, on the machine
// itself; another machine knows nothing of it.
func TestHookTrouble(t *testing.T) {
	t.Parallel()
	r := healthyRouter(t)
	hook := filepath.Join(t.TempDir(), "hook")
	r.write(twoUplinks + "[watch]\nhook = \"" + hook + "\"\n")
	elsewhere := lab.New(t).Host("elsewhere")
	warns := func(t *testing.T, want string) {
		t.Helper()
		for _, args := range [][]string{{"check"}, {"check", "--live"}, {"doctor"}} {
			if res := r.pbr(args...); !strings.Contains(strings.Join(strings.Fields(res.Stdout+res.Stderr), " "), want) {
				t.Errorf("pbr %v does not say %q:\n%s%s", args, want, res.Stdout, res.Stderr)
			}
		}
		if res := elsewhere.Exec(pbrPath, "-c", r.file, "check"); res.Code != 0 || strings.Contains(res.Stderr, hook) {
			t.Errorf("another machine: exit status %d, %s", res.Code, res.Stderr)
		}
	}
	step := steps.Of(t)
	step.Run("it does not exist", func(t *testing.T) {
		warns(t, hook+": no such file")
	})
	step.Run("it is not executable", func(t *testing.T) {
		if err := os.WriteFile(hook, []byte("#!/bin/sh\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		warns(t, hook+": it is not executable")
	})
	step.Run("others may write to it", func(t *testing.T) {
		if err := os.Chmod(hook, 0o777); err != nil {
			t.Fatal(err)
		}
		warns(t, "others may write to "+hook)
	})
}
