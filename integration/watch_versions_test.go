package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// bothVersions checks each version by a target of its own.
var bothVersions = strings.NewReplacer(`targets = "9.9.9.9"`, `targets = ["9.9.9.9", "2001:db8:fffe::9"]`).Replace(watchPolicy)

// IPv6 dies on a line, alone: only IPv6 leaves it, only its connections are flushed, and only it
// returns.
func TestWatchVersionDies(t *testing.T) {
	t.Parallel()
	hook := filepath.Join(t.TempDir(), "hook")
	told := hook + ".log"
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho \"$PBR_UPLINK $PBR_VERSION $PBR_TO\" >>"+told+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	w := startWatched(t, bothVersions+"[watch]\nhook = \""+hook+"\"\n", 2)
	four, six := w.calls(3, byDefault, "isp1"), w.calls(3, byDefault6, "isp1")
	other := w.calls(3, bySecond6, "isp2")
	step := steps.Of(t)
	step.Run("its connections alone are flushed", func(t *testing.T) {
		w.dead("isp1", "2001:db8:fffe::9")
		w.waitArrives(byDefault6, "isp2")
		w.logged("uplink isp1 IPv6: down", "version=6")
		lab.WaitFor(t, "IPv6 connections to be flushed", func() bool { six.broken(); return len(six.conns) == 0 })
		four.stillUp("IPv6 of isp1 died")
		other.stillUp("IPv6 of isp1 died")
		if isp := w.arrives(byDefault); isp != "isp1" {
			t.Errorf("IPv4 goes by %q", isp)
		}
	})
	step.Run("status shows both versions", func(t *testing.T) {
		s, code := w.status()
		u := s.Uplinks[0]
		if code != 3 || u.State != "mixed" || !u.Usable || u.Versions["ipv4"].State != "up" ||
			u.Versions["ipv6"].State != "down" || u.Versions["ipv6"].Usable {
			t.Errorf("exit status %d, %+v", code, u)
		}
		if text := w.router.pbr("status").Stdout; !matches(`(?m)^isp1 IPv4 +wan1 +up `, text) ||
			!matches(`(?m)^isp1 IPv6 +wan1 +down `, text) || !matches(`(?m)^isp2 +wan2 +up `, text) {
			t.Errorf("pbr status:\n%s", text)
		}
	})
	w.router.inSync()
	step.Run("it is back: nothing that runs is moved", func(t *testing.T) {
		during := w.calls(2, byDefault6, "isp2")
		w.alive("isp1", "2001:db8:fffe::9")
		w.waitArrives(byDefault6, "isp1")
		w.waitState("isp1", "up")
		during.stillUp("IPv6 of isp1 is back")
		four.stillUp("IPv6 of isp1 is back")
	})
	step.Run("the hook is told of each", func(t *testing.T) {
		w.router.must("uplink", "isp1", "down")
		lab.WaitFor(t, "the hook", func() bool {
			b, _ := os.ReadFile(told)
			return strings.Contains(string(b), "isp1 6 down\n") && strings.Contains(string(b), "isp1 6 up\n") &&
				strings.Contains(string(b), "isp1 both forced-down\n")
		})
	})
}

// An IPv4 address that is lost takes IPv4 alone away.
func TestWatchAddressOfAVersion(t *testing.T) {
	t.Parallel()
	w := startWatched(t, bothVersions, 2)
	six := w.calls(3, byDefault6, "isp1")
	w.Router.IP("addr del 192.0.2.2/24 dev wan1")
	w.waitArrives(byDefault, "isp2")
	six.stillUp("the IPv4 address is gone")
	// The kernel takes the address's routes away by itself, before the watch knows.
	lab.WaitFor(t, "IPv4 alone to have lost its address", func() bool {
		s, _ := w.status()
		return s.Uplinks[0].Versions["ipv4"].State == "address-lost" && s.Uplinks[0].Versions["ipv6"].State == "up"
	})
	w.Router.IP("addr add 192.0.2.2/24 dev wan1")
	w.waitArrives(byDefault, "isp1")
	six.stillUp("the IPv4 address is back")
}

// A line without IPv6 is none that failed; IPv6 that comes is used, and when it goes its gateway is
// missed.
func TestWatchAbsentVersion(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(watchPolicy, `gateway6 = "2001:db8:f1::1"`, `gateway6 = "auto"`, 1)
	w := newWatched(t, policy, 2)
	w.Router.IP("addr del 2001:db8:f1::2/64 dev wan1")
	w.start()
	w.waitState("isp1", "up")
	w.waitState("isp2", "up")
	step := steps.Of(t)
	step.Run("what it never had is absent, and no failure", func(t *testing.T) {
		s, code := w.status()
		if code != 0 || s.Uplinks[0].Versions["ipv6"].State != "absent" || s.Uplinks[0].State != "up" {
			t.Errorf("exit status %d, %+v", code, s.Uplinks[0])
		}
		if isp := w.arrives(byDefault6); isp != "isp2" {
			t.Errorf("IPv6 goes by %q", isp)
		}
	})
	step.Run("it is used when it comes, and not when it goes", func(t *testing.T) {
		w.Router.IP("addr add 2001:db8:f1::2/64 dev wan1 nodad")
		w.Router.IP6("route add default via 2001:db8:f1::1 dev wan1 metric 50")
		w.waitArrives(byDefault6, "isp1")
		w.Router.IP6("route del default via 2001:db8:f1::1 dev wan1 metric 50")
		w.waitArrives(byDefault6, "isp2")
	})
	step.Run("then it is missed", func(t *testing.T) {
		if s, code := w.status(); code != 3 || s.Uplinks[0].Versions["ipv6"].State != "no-gateway" {
			t.Errorf("exit status %d, %+v", code, s.Uplinks[0])
		}
	})
}

// Both check one address, with equal and with unequal timing, and it dies: nothing is flushed, the
// lines stay, strict tables close; whoever answers first ends it.
func TestWatchDeadTarget(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]string{
		"equal": watchPolicy,
		"unequal": strings.Replace(watchPolicy, `check = { method = "ping", targets = "9.9.9.9" }`,
			`check = { method = "ping", targets = "9.9.9.9", interval = "700ms", down-after = 4 }`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := startWatched(t, policy, 2)
			first, second := w.calls(10, byDefault, "isp1"), w.calls(5, bySecond, "isp2")
			strict := w.calls(2, byStrict, "isp2")
			for _, isp := range []string{"isp1", "isp2"} {
				w.dead(isp, "9.9.9.9")
			}
			w.logged("all checks fail together: keeping isp1")
			w.waitState("isp1", "unconfirmed")
			w.waitState("isp2", "unconfirmed")
			if text := w.router.pbr("status"); text.Code != 3 || !strings.Contains(text.Stdout, "all checks fail together: keeping isp1") {
				t.Errorf("pbr status: %d\n%s", text.Code, text.Stdout)
			}
			first.stillUp("the target died")
			second.stillUp("the target died")
			lab.WaitFor(t, "the strict table to close", func() bool { return w.arrives(byStrict) == "" })
			lab.WaitFor(t, "connections of the strict table to be flushed", func() bool { strict.broken(); return len(strict.conns) == 0 })
			if a, b := w.arrives(byDefault), w.arrives(bySecond); a != "isp1" || b != "isp2" {
				t.Errorf("new connections go by %q and %q", a, b)
			}
			w.router.inSync()
			// It answers by isp2 alone: then isp1 is dead.
			w.alive("isp2", "9.9.9.9")
			w.waitArrives(byStrict, "isp2")
			w.waitState("isp1", "down")
			w.waitArrives(byDefault, "isp2")
			second.stillUp("the target is back by isp2")
			w.logged("checks no longer fail together")
			w.alive("isp1", "9.9.9.9")
			w.waitState("isp1", "up")
		})
	}
}

// A line gets another address, without a pause: it takes new connections at once, those of the old
// address are flushed, and no flap is counted however often it happens. An address that goes and
// comes back, as VRRP's do, is no flap either.
func TestWatchRenumbering(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	old := "192.0.2.2"
	for i, addr := range []string{"192.0.2.102", "192.0.2.103", "192.0.2.104"} {
		t.Run(addr, func(t *testing.T) {
			running := w.calls(2, byDefault, "isp1")
			w.Router.IP("addr add "+addr+"/24 dev wan1", "addr del "+old+"/24 dev wan1")
			w.Router.IP("addr replace " + addr + "/24 dev wan1")
			old = addr
			w.waitArrives(byDefault, "isp1")
			lab.WaitFor(t, "connections of the old address to be flushed", func() bool { running.broken(); return len(running.conns) == 0 })
			if s, _ := w.status(); s.Uplinks[0].Flaps != 0 {
				t.Errorf("renumbering %d counts as a flap: %+v", i, s.Uplinks[0])
			}
		})
	}
	for i := range 4 {
		t.Run(fmt.Sprintf("takeover %d", i+1), func(t *testing.T) {
			w.Router.IP("addr del " + old + "/24 dev wan1")
			w.waitArrives(byDefault, "isp2")
			began := time.Now()
			w.Router.IP("addr add " + old + "/24 dev wan1 preferred_lft 0")
			w.waitArrives(byDefault, "isp1")
			if took := time.Since(began); took > lab.Patience(2*time.Second) {
				t.Errorf("takeover %d: the line was back after %v", i, took)
			}
		})
	}
	step := steps.Of(t)
	step.Run("none of it is a flap", func(t *testing.T) {
		s, _ := w.status()
		if i := slices.IndexFunc(s.Uplinks, func(u uplinkJSON) bool { return u.Name == "isp1" }); s.Uplinks[i].Flaps != 0 ||
			s.Uplinks[i].HeldUntil != nil {
			t.Errorf("an address that goes and comes back counts as a flap: %+v", s.Uplinks[i])
		}
	})
}
