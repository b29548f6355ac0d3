package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// waiting is a pbr apply --wait that runs.
type waiting struct {
	out, err monitor
	cmd      *exec.Cmd
}

func (r *router) startWait(args ...string) *waiting {
	r.T().Helper()
	w := &waiting{cmd: r.Command(pbrPath, append([]string{"--config", r.file, "apply"}, args...)...)}
	w.cmd.Stdout, w.cmd.Stderr = &w.out, &w.err
	if err := r.Start(w.cmd); err != nil {
		r.T().Fatal(err)
	}
	r.T().Cleanup(func() { _ = w.cmd.Process.Kill(); _ = w.cmd.Wait() })
	return w
}

func (r *router) has(what string, command ...string) {
	r.T().Helper()
	lab.WaitFor(r.T(), strings.Join(command, " ")+" to have "+what, func() bool {
		return strings.Contains(r.Exec(command[0], command[1:]...).Stdout, what)
	})
}

// strictLater has a strict table over an uplink that takes its gateway from main.
const strictLater = `uplink = [
  { name = "isp1", interface = "wan1", gateway = "192.0.2.1", nat = "masquerade" },
  { name = "isp2", interface = "late0", gateway = "auto", nat = "masquerade" },
]
table = [ { name = "only2", strict = true, routes = [ { uplink = "isp2" } ] } ]
default = { routes = [ { uplink = "isp1" } ] }
policy = [ { name = "secret", src = "192.168.10.12", table = "only2" } ]
`

// apply --wait makes the kill switch stand at once, and brings in what appears; the lock is free
// meanwhile.
func TestApplyWaits(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.write(strictLater)
	w := r.startWait("--wait", "60s")
	step := steps.Of(t)
	step.Run("meanwhile the rest is in force, and another apply can run", func(t *testing.T) {
		r.has("unreachable default", "ip", "route", "show", "table", "all")
		r.has("192.168.10.12", "nft", "list", "table", "inet", "pbr")
		says(t, r.pbr("apply", "--lock-wait", "1s"), 0, "late0")
	})
	step.Run("it ends when the last thing has come, with all of it in force", func(t *testing.T) {
		for _, step := range []string{"link add late0 type veth peer name late1", "link set late1 up", "link set late0 up",
			"addr add 203.0.113.2/24 dev late0"} {
			r.IP(step)
			time.Sleep(150 * time.Millisecond) // each is an event of its own
			if w.cmd.ProcessState != nil {
				t.Fatalf("ended before the gateway came, after %s", step)
			}
		}
		r.IP("route add default via 203.0.113.1 dev late0 metric 900")
		if err := w.cmd.Wait(); err != nil {
			t.Fatalf("pbr apply --wait: %v\n%s", err, w.err.text())
		}
		r.has("via 203.0.113.1 dev late0 table 112", "ip", "route", "show", "table", "all")
		r.inSync()
	})
	step.Run("it says what was done", func(t *testing.T) {
		if text := w.out.text(); !strings.Contains(text, "routes: ") {
			t.Errorf("it said\n%s", text)
		}
	})
	step.Run("with nothing missing it ends at once", func(t *testing.T) {
		says(t, r.pbr("apply", "--wait", "60s"), 0) // nothing is missing: at once
	})
}

// When the time is up, what is missing is said, and the exit status is 4.
func TestApplyWaitsInVain(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.write(strictLater)
	begin := time.Now()
	says(t, r.pbr("apply", "--wait", "1s"), 4, "still missing", "uplink isp2", "late0")
	if took := time.Since(begin); took < time.Second {
		t.Errorf("ended after %v", took)
	}
	r.inSync()
	r.IP("link add late0 type veth peer name late1")
	r.IP("link set late1 up")
	r.IP("link set late0 up")
	r.IP("route add default dev late0 metric 900") // no address yet
	says(t, r.pbr("apply", "--wait", "1s"), 4, "isp2", "address")
	r.write("uplink = 7\n")
	says(t, r.pbr("apply", "--wait", "60s"), 1, "error")
	says(t, r.pbr("apply", "--wait", "1s", "--confirm", "5s"), 1, "exclude each other")
}

// The dispatchers' hooks apply again what is in force, and bring no edit of the file into force.
func TestDispatcherHooks(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	hooks := map[string][]string{"NetworkManager": {"late0", "up"}, "networkd-dispatcher": nil}
	run := func(t *testing.T, name string) lab.Result {
		text, err := os.ReadFile(filepath.Join("../packaging/dispatcher", name, "50-pbr"))
		if err != nil {
			t.Fatal(err)
		}
		hook := filepath.Join(t.TempDir(), "50-pbr")
		if err := os.WriteFile(hook, []byte(strings.ReplaceAll(string(text), "/usr/sbin/pbr", pbrPath)), 0o755); err != nil {
			t.Fatal(err)
		}
		return r.Exec(hook, hooks[name]...)
	}
	step := steps.Of(t)
	step.Run("before the first apply they do nothing", func(t *testing.T) {
		for name := range hooks {
			info, err := os.Stat(filepath.Join("../packaging/dispatcher", name, "50-pbr"))
			if err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("%s: %v, %v", name, info, err)
			}
			if res := run(t, name); res.Code != 0 || !strings.Contains(res.Stdout, "nothing was applied yet") {
				t.Errorf("before the first apply: %d, %s%s", res.Code, res.Stdout, res.Stderr)
			}
		}
	})
	r.write(strictLater)
	r.must("apply")
	r.write(strictLater + "# an edit\n[[policy]]\nname = \"edit\"\nsrc = \"192.168.10.13\"\nuplink = \"isp1\"\n")
	for name := range hooks {
		t.Run(name, func(t *testing.T) {
			r.IP("link add late0 type veth peer name late1")
			r.IP("link set late1 up")
			r.IP("link set late0 up")
			r.IP("addr add 203.0.113.2/24 dev late0")
			r.IP("route add default via 203.0.113.1 dev late0 metric 900")
			says(t, run(t, name), 0)
			r.has("via 203.0.113.1 dev late0 table 112", "ip", "route", "show", "table", "all")
			if text := r.Run("nft", "list", "table", "inet", "pbr"); strings.Contains(text, "192.168.10.13") {
				t.Errorf("%s brought an edit into force", name)
			}
			r.IP("link del late0")
		})
	}
}
