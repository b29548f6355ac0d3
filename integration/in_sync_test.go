package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// keyPolicy has something of everything that a plan depends on: a list from a file, a schedule, a
// list that is filled by hand, offload, settings.
const keyPolicy = `
[pbr]
sysctl = true

[lists]
work = { file = "work.txt" }
block = { dynamic = true }

` + ispsIPv4 + `
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]

[[table]]
name = "second"
routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }]

[[policy]]
name = "work"
dst = "@work"
schedule = "mon-fri 08:00-18:00"
table = "second"

[[policy]]
name = "blocked"
dst = "@block"
table = "second"
`

// keyed is a router whose last apply noted what it found in sync.
type keyed struct{ *router }

func newKeyed(t *testing.T) keyed {
	t.Helper()
	k := keyed{newRouter(bench(lab.New(t)).Router)}
	k.writeList("203.0.113.0/25")
	lab.WaitFor(t, "addresses that nobody else has", func() bool { // a host fact changes with each
		return k.Run("ip", "-6", "addr", "show", "tentative") == ""
	})
	k.apply(keyPolicy)
	return k
}

// list is the policy's list file.
func (k keyed) list() string { return filepath.Join(filepath.Dir(k.file), "work.txt") }

func (k keyed) writeList(text string) {
	k.T().Helper()
	if err := os.WriteFile(k.list(), []byte(text+"\n"), 0o600); err != nil {
		k.T().Fatal(err)
	}
}

// note is the file that an apply leaves when it had to look at everything.
func (k keyed) note() os.FileInfo {
	info, err := os.Stat(filepath.Join(k.StateDir(), "insync.json"))
	if err != nil {
		k.T().Fatalf("nothing was noted: %v", err)
	}
	return info
}

// quick applies, and fails the test unless that finds nothing to do by what was noted.
func (k keyed) quick(when string) {
	k.T().Helper()
	before := k.note()
	if out := k.must("apply"); !strings.Contains(out, "in sync") {
		k.T().Errorf("%s: apply says %q", when, out)
	}
	if !os.SameFile(before, k.note()) {
		k.T().Errorf("%s: apply looked at everything", when)
	}
}

// TestInSyncIsNeverWrong: each thing that somebody else, or the machine, changes is seen by an
// apply and a diff that know by their note that there was nothing to do. Each case leaves the
// kernel as the policy says, and the next apply knows that again.
func TestInSyncIsNeverWrong(t *testing.T) {
	t.Parallel()
	k := newKeyed(t)
	k.quick("after the first apply")
	cases := []struct {
		name string
		do   func()
		// same: what was done changes nothing that is ours.
		same bool
	}{
		{name: "flushed and loaded again by nft", same: true, do: func() {
			k.RunInput("flush ruleset\n"+k.Run("nft", "list", "ruleset"), "nft", "-f", "-")
		}},
		{name: "a table of somebody else", same: true, do: func() { k.Run("nft", "add", "table", "ip", "other") }},
		{name: "the ruleset flushed", do: func() { k.Run("nft", "flush", "ruleset") }},
		{name: "our table deleted", do: func() { k.Run("nft", "delete", "table", "inet", "pbr") }},
		{name: "a chain flushed", do: func() { k.Run("nft", "flush", "chain", "inet", "pbr", "prerouting") }},
		{name: "an element deleted", do: func() { k.Run("nft", "delete", "element", "inet", "pbr", "uplinks", `{ "wan2" }`) }},
		{name: "a rule added", do: func() { k.Run("nft", "add", "rule", "inet", "pbr", "prerouting", "counter") }},
		{name: "an ip rule deleted", do: func() { k.Run("ip", "rule", "del", "priority", firstRule(k.router)) }},
		{name: "our routes flushed", do: func() { k.Run("ip", "route", "flush", "table", "all", "proto", "112") }},
		{name: "a route over which the other goes", do: func() {
			k.Run("ip", "route", "del", "default", "table", "112000")
			k.Run("ip", "route", "add", "default", "via", "198.51.100.1", "dev", "wan2", "table", "112000", "proto", "112", "metric", "1")
		}},
		{name: "a setting", do: func() { k.Sysctl("net/ipv4/ip_forward", "0") }},
		{name: "a setting of an uplink", do: func() { k.Sysctl("net/ipv4/conf/wan2/rp_filter", "1") }},
		{name: "a link went down and came back",
			do: func() { k.Run("ip", "link", "set", "wan2", "down"); k.Run("ip", "link", "set", "wan2", "up") }},
		{name: "the list changed, with the same size and time", do: func() {
			info, err := os.Stat(k.list())
			if err != nil {
				t.Fatal(err)
			}
			k.writeList("203.0.113.0/26")
			if err := os.Chtimes(k.list(), info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "the policy changed", do: func() { k.write(strings.Replace(keyPolicy, "distance = 2", "distance = 3", 1)) }},
		{name: "the journal is gone", same: true, do: func() {
			if err := os.Remove(filepath.Join(k.StateDir(), "journal.json")); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "the note is torn", same: true, do: func() {
			if err := os.Truncate(filepath.Join(k.StateDir(), "insync.json"), 100); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "an uplink was ordered down", do: func() { k.must("uplink", "isp1", "down"); k.must("uplink", "isp1", "auto") }, same: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.do()
			if res := k.pbr("diff"); (res.Code == 0) != c.same {
				t.Errorf("%s: diff: exit status %d\n%s%s", c.name, res.Code, res.Stdout, res.Stderr)
			}
			if out := k.must("apply"); strings.Contains(out, "in sync") != c.same {
				t.Errorf("%s: apply says %q", c.name, out)
			}
			if res := k.pbr("diff", "--full"); res.Code != 0 {
				t.Errorf("%s: after an apply the kernel still differs:\n%s", c.name, res.Stdout)
			}
			k.must("apply") // where connections were adopted, the next one has the note
			k.quick(c.name)
		})
	}
}

// firstRule is the priority of the first ip rule of ours.
func firstRule(r *router) string {
	for line := range strings.Lines(r.Run("ip", "rule")) {
		if priority, rest, _ := strings.Cut(line, ":"); strings.Contains(rest, "fwmark") {
			return priority
		}
	}
	r.T().Fatal("there is no ip rule with a mark")
	return ""
}

// TestInSyncKnowsTheMachine: what a plan depends on beside the policy counts: the zone of the
// machine's clock, an uplink that was ordered down, an interface that was recreated with the same
// name and address, which the flowtable has lost. Members that pbr puts into a list by itself do
// not.
func TestInSyncKnowsTheMachine(t *testing.T) {
	t.Parallel()
	k := newKeyed(t)
	step := steps.Of(t)
	step.Run("a member that pbr adds is not a change", func(t *testing.T) {
		k.quick("before anything")
		k.must("lists", "add", "block", "192.0.2.77")
		k.quick("after a member was added by pbr")
		if !strings.Contains(k.must("lists", "block"), "192.0.2.77") {
			t.Error("the member is gone")
		}
	})
	step.Run("another zone is", func(t *testing.T) {
		if res := k.Exec("env", "TZ=Asia/Tokyo", pbrPath, "--config", k.file, "diff"); res.Code != 2 {
			t.Errorf("in another zone: diff: exit status %d\n%s", res.Code, res.Stdout)
		}
	})
	step.Run("an order is, until it is taken back", func(t *testing.T) {
		k.must("uplink", "isp1", "down")
		if res := k.pbr("diff"); !strings.Contains(res.Stderr, "isp1") {
			t.Errorf("with an uplink forced down diff says\n%s%s", res.Stdout, res.Stderr)
		}
		k.must("uplink", "isp1", "auto")
		k.must("apply")
		k.quick("after an order that was taken back")
	})
	step.Run("an interface that was recreated is", func(t *testing.T) {
		before := k.must("diff")
		k.Run("ip", "link", "del", "wan2")
		k.IP("link add wan2 type veth peer name wan2-end", "link set wan2-end up", "link set wan2 up", "addr add 198.51.100.2/24 dev wan2")
		if res := k.pbr("diff"); res.Code != 2 {
			t.Errorf("after an interface was recreated: diff: exit status %d, %q before", res.Code, before)
		}
		k.must("apply")
		k.inSync()
	})
}

// TestInSyncIsOfOneNamespace: the note of one network namespace, copied into another one's
// directory with all beside it, is not believed there.
func TestInSyncIsOfOneNamespace(t *testing.T) {
	t.Parallel()
	k := newKeyed(t)
	other := newRouter(bench(lab.New(t)).Router)
	other.file = k.file
	if err := os.CopyFS(other.StateDir(), os.DirFS(k.StateDir())); err != nil {
		t.Fatal(err)
	}
	step := steps.Of(t)
	step.Run("diff compares all", func(t *testing.T) {
		if res := other.pbr("diff"); res.Code != 2 {
			t.Errorf("diff with a copied note: exit status %d\n%s%s", res.Code, res.Stdout, res.Stderr)
		}
	})
	step.Run("so does apply", func(t *testing.T) {
		if out := other.must("apply"); strings.Contains(out, "in sync") {
			t.Errorf("apply with a copied note says %q", out)
		}
	})
	step.Run("and all is well then", func(t *testing.T) {
		if res := other.pbr("diff", "--full"); res.Code != 0 {
			t.Errorf("after the apply: %s", res.Stdout)
		}
	})
}

// TestInSyncOfManyAtOnce: applies of two policies at the same time, beside diffs: at the end the
// kernel holds what the last one says.
func TestInSyncOfManyAtOnce(t *testing.T) {
	t.Parallel()
	k := newKeyed(t)
	texts := []string{keyPolicy, strings.Replace(keyPolicy, "distance = 2", "distance = 3", 1)}
	var all sync.WaitGroup
	for i := range 6 {
		file := filepath.Join(filepath.Dir(k.file), fmt.Sprintf("pbr%d.toml", i%2))
		if i < 2 {
			if err := os.WriteFile(file, []byte(texts[i]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, command := range []string{"apply", "diff"} {
			all.Go(func() {
				if res := k.Exec(pbrPath, "--config", file, command); res.Code == 1 {
					t.Errorf("%s: %s", command, res.Stderr)
				}
			})
		}
	}
	all.Wait()
	for _, i := range []int{0, 1, 0} {
		file := filepath.Join(filepath.Dir(k.file), fmt.Sprintf("pbr%d.toml", i))
		if res := k.Exec(pbrPath, "--config", file, "apply"); res.Code != 0 {
			t.Errorf("apply: %s", res.Stderr)
		}
		if res := k.Exec(pbrPath, "--config", file, "diff", "--full"); res.Code != 0 {
			t.Errorf("after the apply of policy %d:\n%s", i, res.Stdout)
		}
	}
}

// TestInSyncBesideWatch: with a running watch an apply that has nothing to do asks it whether it
// keeps the kernel to the same policy, and the watch says so in its log. A changed policy is handed
// over.
func TestInSyncBesideWatch(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	k := keyed{w.router}
	step := steps.Of(t)
	step.Run("the same policy", func(t *testing.T) {
		k.must("apply") // looks, and notes
		k.must("apply")
		k.quick("with the same policy")
		w.logged("the kernel already held it")
	})
	other := filepath.Join(t.TempDir(), "other.toml")
	if err := os.WriteFile(other, []byte(strings.Replace(watchPolicy, "distance = 2", "distance = 7", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	step.Run("another policy", func(t *testing.T) {
		if res := k.Exec(pbrPath, "--config", other, "apply"); res.Code != 0 || strings.Contains(res.Stdout, "in sync") {
			t.Errorf("another policy: exit status %d\n%s%s", res.Code, res.Stdout, res.Stderr)
		}
	})
	step.Run("back to the first", func(t *testing.T) {
		if out := k.must("apply"); strings.Contains(out, "in sync") {
			t.Errorf("back to the first policy: %q", out)
		}
	})
	step.Run("in the end nothing differs", func(t *testing.T) {
		if res := k.pbr("diff", "--full"); res.Code != 0 {
			t.Errorf("at the end:\n%s", res.Stdout)
		}
	})
}
