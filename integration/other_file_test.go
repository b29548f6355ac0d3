package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// Commands that look at another file than the one in force say first which one is.
func TestOtherFileInForce(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.apply(twoUplinks)
	inForce := r.file
	r.file = filepath.Join(filepath.Dir(inForce), "other.toml")
	want := inForce + " is in force, not " + r.file
	hint := "name it with -c " + inForce
	commands := map[string][]string{
		"doctor": {"doctor"}, "diff": {"diff"}, "graph": {"graph"}, "connections": {"connections"}, "status": {"status"},
		"explain": {"explain", "192.168.10.10", "9.9.9.9:443/tcp"}, "lists": {"lists"},
	}
	step := steps.Of(t)
	for _, content := range []string{twoUplinks + oneMorePolicy, "no = [", ""} {
		if content != "" {
			r.write(content)
		} else if err := os.Remove(r.file); err != nil {
			t.Fatal(err)
		}
		for name, args := range commands {
			step.Run(name+" with "+content[:min(4, len(content))], func(t *testing.T) {
				res := r.pbr(args...)
				said, want, hint := res.Stdout+res.Stderr, want, hint
				if name == "diff" { // is how to try a file
					want, hint = "compared with the kernel, where "+inForce+" is in force", ""
				}
				if !strings.Contains(said, want) || !strings.Contains(said, hint) || strings.Contains(said, "pbr apply repairs") {
					t.Errorf("%q and %q are missing, or pbr apply is advised:\n%s", want, hint, said)
				}
				if name == "doctor" && content == twoUplinks+oneMorePolicy && !strings.Contains(said, "pbr apply would replace") {
					t.Errorf("what pbr apply would do is missing:\n%s", said)
				}
			})
		}
	}
	silent := func(t *testing.T) {
		for _, args := range commands {
			if res := r.pbr(args...); strings.Contains(res.Stdout+res.Stderr, "is in force") {
				t.Errorf("pbr %q:\n%s%s", args, res.Stdout, res.Stderr)
			}
		}
	}
	step.Run("without a name and a default file the policy in force answers", func(t *testing.T) {
		if _, err := os.Stat("/etc/pbr/pbr.toml"); err == nil {
			t.Skip("this machine has a policy file of its own; the default cannot be missing")
		}
		res := r.Exec(pbrPath, "explain", "192.168.10.10", "9.9.9.9:443/tcp")
		if res.Code != 0 || !strings.Contains(res.Stdout, "isp1") || !strings.Contains(res.Stderr, "going on with the policy in force") {
			t.Errorf("exit status %d\n%s%s", res.Code, res.Stdout, res.Stderr)
		}
	})
	step.Run("apply says which file it replaces, once", func(t *testing.T) {
		r.write(twoUplinks + oneMorePolicy)
		note := "note: " + r.file + " replaces " + inForce + ", the policy in force\n"
		for i, want := range []int{1, 0} {
			if res := r.pbr("apply"); res.Code != 0 || strings.Count(res.Stderr, note) != want {
				t.Errorf("apply %d: exit status %d, %q is not there %d times:\n%s", i, res.Code, note, want, res.Stderr)
			}
		}
		r.file, inForce = inForce, r.file
		if res := r.pbr("apply"); res.Code != 0 {
			t.Fatalf("back: %s", res.Stderr)
		}
		r.file, inForce = inForce, r.file
	})
	step.Run("a file of the same text is the same", func(t *testing.T) {
		r.write(twoUplinks)
		silent(t)
	})
	step.Run("so is the file that is in force", func(t *testing.T) {
		r.file = inForce
		silent(t)
	})
}

// A mistake in the file, or in a list's, keeps nobody from showing and changing the policy in
// force.
func TestCommandsWithBrokenList(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	list := filepath.Join(filepath.Dir(r.file), "list.txt")
	write := func(t *testing.T, content string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(t, "198.51.100.7\n")
	r.apply("[lists]\nwritten = { file = \"" + list + "\" }\nbanned = { dynamic = true }\n" + twoUplinks)
	write(t, "nonsense\n")
	step := steps.Of(t)
	for _, c := range []struct{ args, want string }{
		{"lists", "written"},
		{"lists banned", "list banned"},
		{"lists add banned 203.0.113.9", "added 203.0.113.9"},
		{"lists del banned 203.0.113.9", "deleted 203.0.113.9"},
		{"lists flush banned", "deleted 0 members"},
		{"uplink isp1 down", "uplink isp1: down"},
		{"uplink isp1 auto", "uplink isp1: auto"},
	} {
		step.Run(c.args, func(t *testing.T) {
			res := r.pbr(strings.Fields(c.args)...)
			if res.Code != 0 || !strings.Contains(res.Stdout, c.want) ||
				!strings.Contains(res.Stderr, "going on with the policy in force") {
				t.Errorf("exit status %d\n%s%s", res.Code, res.Stdout, res.Stderr)
			}
		})
	}
	step.Run("but nothing of it can be applied", func(t *testing.T) {
		if res := r.pbr("apply"); res.Code != 1 {
			t.Errorf("exit status %d\n%s%s", res.Code, res.Stdout, res.Stderr)
		}
	})
}
