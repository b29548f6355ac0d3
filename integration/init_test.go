package integration

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// machinesDir has a directory for each shape of machine.
const machinesDir = "../fixtures/machines/"

// pbr init on each machine, made for real, sees and proposes what the fixtures hold, changes
// nothing, and what it proposes can be applied.
func TestInitOnMachines(t *testing.T) {
	t.Parallel()
	setups, err := filepath.Glob(machinesDir + "*/setup.sh")
	if err != nil || len(setups) < 10 {
		t.Fatalf("%d machines: %v", len(setups), err)
	}
	for _, setup := range setups {
		dir := filepath.Dir(setup)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			r := newRouter(l.Host("machine"))
			r.Sysctl("net/ipv6/conf/default/addr_gen_mode", "1") // no link-local addresses, which come late
			r.setUp(dir, l.Host("outside"))
			before := r.everythingOn()
			res := r.pbr("init")
			if d := diffLines(before, r.everythingOn()); d != "" {
				t.Errorf("pbr init changes:\n%s", d)
			}
			golden(t, dir+"/seen.json", r.seen())
			if filepath.Base(dir) == "no-default" {
				if res.Code != 1 || res.Stdout != "" || !strings.Contains(res.Stderr, "192.168.10.1/24") ||
					!strings.Contains(res.Stderr, "no default route") {
					t.Errorf("exit status %d\n%s%s", res.Code, res.Stdout, res.Stderr)
				}
				return
			}
			if res.Code != 0 || res.Stderr != "" {
				t.Fatalf("exit status %d: %s", res.Code, res.Stderr)
			}
			golden(t, dir+"/pbr.toml", res.Stdout)
			r.write(res.Stdout)
			r.must("check", "--strict")
			r.must("apply")
			r.inSync()
			if again := r.must("init"); proposed(again) != proposed(res.Stdout) {
				t.Errorf("with the policy in force it proposes\n%s", again)
			}
		})
	}
}

// setUp makes the machine; its cables end outside.
func (r *router) setUp(dir string, outside *lab.Host) {
	r.T().Helper()
	text, err := os.ReadFile(dir + "/setup.sh")
	if err != nil {
		r.T().Fatal(err)
	}
	port, err := os.ReadFile(machinesDir + "port.sh")
	if err != nil {
		r.T().Fatal(err)
	}
	r.RunInput("OUTSIDE="+outside.NS+"\n"+string(port)+string(text), "sh", "-e")
	lab.WaitFor(r.T(), "the carrier of all cables", func() bool {
		return !strings.Contains(r.Run("ip", "link", "show", "up", "type", "veth"), "NO-CARRIER,")
	})
	// The kernel reports a carrier before it adds the routes that come with it.
	var last string
	lab.WaitFor(r.T(), "a machine that changes no more", func() bool {
		before := last
		last = r.everythingOn()
		return last == before
	})
}

// seen is what pbr init --json has seen.
func (r *router) seen() string {
	r.T().Helper()
	res := r.pbr("init", "--json")
	var out struct{ Seen json.RawMessage }
	var text bytes.Buffer
	if err := json.Unmarshal([]byte(res.Stdout), &out); err != nil {
		r.T().Fatal(err)
	}
	if err := json.Indent(&text, out.Seen, "", "  "); err != nil {
		r.T().Fatal(err)
	}
	return text.String() + "\n"
}

// proposed are the lines of a policy that are no comment.
func proposed(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// golden compares with a file, or with -update writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := diffLines(string(want), got); d != "" {
		t.Errorf("%s:\n%s", file, d)
	}
}
