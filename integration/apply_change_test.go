package integration

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/reference"
)

func newGenerator(t *testing.T, stream uint64) *reference.Generator {
	t.Helper()
	world := emptyWorld()
	world.Domains = true
	return &reference.Generator{Rand: rand.New(rand.NewPCG(testSeed(t), stream)), World: world}
}

// Any policy after any other leaves what it would have made on a fresh router.
func TestAnyPolicyAfterAnyOther(t *testing.T) {
	t.Parallel()
	g := newGenerator(t, 300)
	r := newRouter(bench(lab.New(t)).Router)
	const policies, steps = 5, 16
	texts, fresh := make([]string, policies), make([]string, policies)
	for i := range policies {
		texts[i] = r.randomPolicy(g).TOML()
		r.apply(texts[i])
		fresh[i] = r.ours()
		r.must("flush")
	}
	last := -1
	for range steps {
		next := g.IntN(policies)
		r.apply(texts[next])
		r.inSync()
		if d := diffLines(fresh[next], r.ours()); d != "" {
			t.Fatalf("- on a fresh router, + after another policy:\n%s\nthe policy:\n%s\nthe one before:\n%s", d,
				texts[next], before(texts, last))
		}
		last = next
	}
}

func before(texts []string, i int) string {
	if i < 0 {
		return "none"
	}
	return texts[i]
}

// A file with errors changes nothing, neither by apply nor by any other command.
func TestBrokenFilesChangeNothing(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.apply(twoUplinks)
	before := r.ours()
	for name, broken := range map[string]string{
		"syntax":         twoUplinks + "\n[[policy]\n",
		"half a file":    twoUplinks[:len(twoUplinks)/2],
		"unknown key":    twoUplinks + "\n[[policy]]\nname = \"x\"\ntabel = \"prefer-isp2\"\n",
		"dangling name":  twoUplinks + "\n[[policy]]\nname = \"x\"\ntable = \"prefer-isp3\"\n",
		"wrong type":     strings.Replace(twoUplinks, "distance = 2", `distance = "far"`, 1),
		"duplicate name": twoUplinks + "\n[[table]]\nname = \"prefer-isp2\"\nroutes = [{ uplink = \"isp1\" }]\n",
		"missing list":   twoUplinks + "\n[lists]\nx = { file = \"nowhere.txt\" }\n",
		"empty":          "",
		"binary":         "\x00\xff\xfe",
	} {
		t.Run(name, func(t *testing.T) {
			r.write(broken)
			for _, command := range []string{"apply", "check", "diff", "compile"} {
				args := []string{command}
				if command == "compile" {
					args = append(args, "--dry-run")
				}
				res := r.pbr(args...)
				if name == "empty" {
					continue // an empty file is a policy that wants nothing, or an error; either way see below
				}
				if res.Code != 1 {
					t.Errorf("%s: pbr %s: exit status %d, not 1\n%s%s", name, command, res.Code, res.Stdout, res.Stderr)
				}
				if res.Stderr == "" && res.Code == 1 {
					t.Errorf("%s: pbr %s says nothing on stderr", name, command)
				}
			}
			if name == "empty" {
				r.apply(twoUplinks)
			}
			if d := diffLines(before, r.ours()); d != "" {
				t.Fatalf("%s: the kernel's state changed:\n%s", name, d)
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		if err := os.Remove(r.file); err != nil {
			t.Fatal(err)
		}
		if res := r.pbr("apply"); res.Code != 1 || !strings.Contains(res.Stderr, r.file) {
			t.Errorf("without a file: exit status %d\n%s", res.Code, res.Stderr)
		}
		if d := diffLines(before, r.ours()); d != "" {
			t.Fatalf("without a file the kernel's state changed:\n%s", d)
		}
	})
}

// An apply that is killed at any moment is repaired by the next one.
func TestKilledApplyConverges(t *testing.T) {
	t.Parallel()
	g := newGenerator(t, 301)
	r := newRouter(bench(lab.New(t)).Router)
	r.occupy()
	foreign := r.foreign()
	texts, fresh := make([]string, 3), make([]string, 3)
	var longest time.Duration
	for i := range texts {
		texts[i] = r.randomPolicy(g).TOML()
		start := time.Now()
		r.apply(texts[i])
		longest = max(longest, time.Since(start))
		fresh[i] = r.ours()
		r.must("flush")
	}
	killed := 0
	for i := range 24 {
		r.write(texts[i%3])
		cmd := r.Command(pbrPath, "--config", r.file, "apply")
		if err := r.Start(cmd); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(g.Int64N(int64(longest) + 1)))
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err != nil {
			killed++
		}
		next := g.IntN(3)
		r.apply(texts[next])
		r.inSync()
		if d := diffLines(fresh[next], r.ours()); d != "" {
			t.Fatalf("- on a fresh router, + after a killed apply:\n%s", d)
		}
		if g.IntN(4) == 0 {
			r.must("flush")
		}
	}
	if killed == 0 {
		t.Error("no apply was killed in time")
	}
	if d := diffLines(foreign, r.foreign()); d != "" {
		t.Errorf("others have:\n%s", d)
	}
}

// A second apply at the same time that is not to wait is told that one is running, and changes
// nothing.
func TestOneApplyAtATime(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.apply(twoUplinks)
	before := r.ours()
	r.write(twoUplinks + oneMorePolicy)
	// Stopped a little later each time, until one is stopped that holds the lock.
	for delay := time.Millisecond; ; delay += time.Millisecond {
		if delay > 100*time.Millisecond {
			t.Fatal("no apply could be stopped while it held the lock")
		}
		first := r.Command(pbrPath, "--config", r.file, "apply")
		if err := r.Start(first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(delay)
		_ = first.Process.Signal(syscall.SIGSTOP)
		held := r.ours()
		second := r.pbr("apply", "--lock-wait", "0s")
		changed := diffLines(held, r.ours())
		finish(t, first)
		if second.Code == 0 || !strings.Contains(second.Stderr, "process") {
			// The first was not stopped in time, or not under the lock, or before it could say who
			// it is.
			r.apply(twoUplinks)
			if d := diffLines(before, r.ours()); d != "" {
				t.Fatalf("back to the first policy:\n%s", d)
			}
			r.write(twoUplinks + oneMorePolicy)
			continue
		}
		if second.Code != 1 || !strings.Contains(second.Stderr, "apply") ||
			!strings.Contains(second.Stderr, "running") && !strings.Contains(second.Stderr, "lock") &&
				!strings.Contains(second.Stderr, "another") {
			t.Errorf("the second apply: exit status %d, stderr %q", second.Code, second.Stderr)
		}
		if changed != "" {
			t.Errorf("the second apply changed:\n%s", changed)
		}
		r.inSync()
		return
	}
}

// finish lets a stopped command run to its end.
func finish(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	_ = cmd.Process.Signal(syscall.SIGCONT)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the stopped apply: %v", err)
	}
}
