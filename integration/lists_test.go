package integration

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// listPolicy sends everybody by isp1, and what goes to a member of the list by isp2.
const listPolicy = `
[lists]
special = ["203.0.113.7", { dynamic = true, size = 4 }]
short   = { dynamic = true, timeout = "2h" }
fixed   = "203.0.113.9"
` + ispsBoth + `[default]
routes = { uplink = "isp1" }
[[policy]]
name = "special"
dst = "@special"
uplink = "isp2"
strict = true
`

// listMember is a member of a list as pbr lists --json has it.
type listMember struct {
	Member, Source string
	Timeout        float64 `json:"timeout_s"`
	Expires        float64 `json:"expires_s"`
}

// list asks for what is in a list.
func (r *router) list(name string) (out map[string]listMember) {
	r.T().Helper()
	var got struct {
		Lists []struct{ Members []listMember }
	}
	if err := json.Unmarshal([]byte(r.must("lists", name, "--json")), &got); err != nil || len(got.Lists) != 1 {
		r.T().Fatalf("pbr lists %s: %v, %+v", name, err, got)
	}
	out = map[string]listMember{}
	for _, m := range got.Lists[0].Members {
		out[m.Member] = m
	}
	return out
}

// holds fails the test unless a list has these members and no others, besides what the policy
// knows.
func (r *router) holds(when, name string, want ...string) {
	r.T().Helper()
	got := r.list(name)
	n := 0
	for member, m := range got {
		if m.Source != "policy" {
			n++
		} else {
			delete(got, member)
		}
	}
	for _, m := range want {
		if _, has := got[m]; !has {
			r.T().Errorf("%s: %s is not in list %s: %v", when, m, name, got)
		}
	}
	if n != len(want) {
		r.T().Errorf("%s: list %s has %v, want %q", when, name, got, want)
	}
}

// TestDynamicLists fills lists by commands, without a watch and with one. Connections follow;
// apply, reload, repair and a table that somebody deleted keep the members.
func TestDynamicLists(t *testing.T) {
	t.Parallel()
	w := newWatched(t, listPolicy, 2)
	far := farEnd.Addr().String()
	step := steps.Of(t)
	step.Run("before the first apply nothing can be added", func(t *testing.T) {
		if res := w.router.pbr("lists", "add", "special", far); res.Code != 1 || !strings.Contains(res.Stderr, "pbr apply") {
			t.Errorf("before the first apply: %d, %s", res.Code, res.Stderr)
		}
	})
	w.router.must("apply")
	w.waitArrives(byDefault, "isp1")

	step.Run("without a watch members are added, taken out, and end", func(t *testing.T) {
		w.router.must("lists", "add", "special", far)
		w.waitArrives(byDefault, "isp2")
		w.router.must("list", "add", "special", "198.18.0.0/24", "2001:db8:ff::/64", "--for", "2h")
		w.router.must("lists", "add", "short", "10.9.8.7")
		w.router.inSync()
		w.router.holds("added", "special", far, "198.18.0.0/24", "2001:db8:ff::/64")
		if got := w.router.list("special"); got["198.18.0.0/24"].Expires < 7000 || got["198.18.0.0/24"].Expires > 7200 ||
			got[far].Timeout != 0 || got["203.0.113.7"].Source != "policy" {
			t.Errorf("times: %+v", got)
		}
		if got := w.router.list("short")["10.9.8.7"]; got.Timeout != 7200 {
			t.Errorf("the list's own timeout: %+v", got)
		}
		w.router.must("lists", "del", "special", far)
		w.waitArrives(byDefault, "isp2") // by the prefix around it
		w.router.must("lists", "del", "special", "198.18.0.0/24")
		w.waitArrives(byDefault, "isp1")
		w.router.must("lists", "add", "special", far, "--for", "2s")
		w.waitArrives(byDefault, "isp2")
		w.waitArrives(byDefault, "isp1") // when its time is over
	})
	step.Run("they outlive an apply, another size and the table", func(t *testing.T) {
		w.router.must("lists", "add", "special", far)
		w.router.must("apply")
		w.router.apply(strings.Replace(listPolicy, "size = 4", "size = 5", 1))
		w.router.holds("another size", "special", far, "2001:db8:ff::/64")
		w.Router.Run("nft", "delete", "table", "inet", "pbr")
		w.router.must("apply")
		w.router.holds("another table", "special", far, "2001:db8:ff::/64")
		w.waitArrives(byDefault, "isp2")
	})

	// With a watch: it takes members for no damage, and brings them back with the table.
	step.Run("a watch takes them for no damage, and brings them back with the table", func(t *testing.T) {
		w.start()
		w.waitState("isp2", "up")
		w.router.must("lists", "add", "special", "192.0.2.128/25")
		w.router.must("lists", "del", "special", "2001:db8:ff::/64")
		w.router.holds("with a watch", "special", far, "192.0.2.128/25")
		w.Router.Run("nft", "delete", "table", "inet", "pbr")
		lab.WaitFor(t, "the table is back", func() bool { return w.router.pbr("diff").Code == 0 })
		w.router.holds("repaired", "special", far, "192.0.2.128/25")
		if text := w.log.text(); strings.Contains(text, "element") {
			t.Errorf("the watch takes members for damage:\n%s", text)
		}
		w.router.write(strings.Replace(listPolicy, "size = 4", "size = 6", 1))
		w.router.must("apply")
		w.router.holds("reloaded", "special", far, "192.0.2.128/25")
		w.router.must("lists", "flush", "special")
		w.waitArrives(byDefault, "isp1")
		w.router.holds("flushed", "special")
		w.stop()
	})

	step.Run("explain looks into the kernel's sets", func(t *testing.T) {
		w.router.must("lists", "add", "special", far)
		if text := w.router.must("explain", "192.168.10.10", far+":7777/udp"); !strings.Contains(text, "special (") ||
			strings.Contains(text, "are unknown") {
			t.Errorf("explain:\n%s", text)
		}
		if text := w.router.must("explain", "--offline", "--in", "br-lan", "192.168.10.10", far+
			":7777/udp"); !strings.Contains(text, "list special are unknown") {
			t.Errorf("explain --offline:\n%s", text)
		}
	})
	w.refusesMembers()
	w.keepsPersistent()
}

// refusesMembers tries what commands cannot do with lists; nothing changes.
func (w *watched) refusesMembers() {
	w.t.Helper()
	before := w.router.must("lists", "special")
	for want, args := range map[string][]string{
		"commands cannot change it": {"add", "fixed", "10.0.0.1"},
		"did you mean":              {"add", "specal", "10.0.0.1"},
		"not a member":              {"del", "special", "10.0.0.1"},
		"invalid address":           {"add", "special", "10.0.0.256"},
		"host bits|bits set":        {"add", "special", "10.0.0.1/24"},
		"--for":                     {"add", "special", "10.0.0.1", "--for", "soon"},
		"too short":                 {"add", "special", "10.0.0.1", "--for", "1ms"},
		"is full":                   {"add", "special", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7"},
		"takes a list and members":  {"add", "special"},
		"takes the name":            {"flush"},
	} {
		if res := w.router.pbr(append([]string{"lists"}, args...)...); res.Code != 1 || !matches(want, res.Stderr) {
			w.t.Errorf("pbr lists %v: %d, %q, want %q", args, res.Code, res.Stderr, want)
		}
	}
	if after := w.router.must("lists", "special"); after != before {
		w.t.Errorf("refused commands changed\n%sto\n%s", before, after)
	}
}

// keepsPersistent restarts the machine, as far as the state directory is concerned.
func (w *watched) keepsPersistent() {
	w.t.Helper()
	policy := strings.Replace(listPolicy, "size = 4", "size = 6, persist = true", 1)
	w.router.apply(policy)
	w.router.must("lists", "add", "short", "10.9.8.6")
	w.Router.Run("nft", "delete", "table", "inet", "pbr")
	for _, list := range []string{"special", "short"} {
		file := w.Router.LastingDir() + "/members/" + list + ".added.json"
		text, err := os.ReadFile(file)
		if err == nil {
			boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
			err = os.WriteFile(file, []byte(strings.Replace(string(text), strings.TrimSpace(string(boot)), "another-boot", 1)), 0o600)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.router.must("apply")
	w.router.holds("after a restart", "special", farEnd.Addr().String())
	w.router.holds("after a restart", "short")
	w.router.must("flush")
	if _, err := os.Stat(w.Router.LastingDir() + "/members"); !os.IsNotExist(err) {
		w.t.Errorf("pbr flush leaves members: %v", err)
	}
}
