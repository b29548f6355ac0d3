package integration

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// spend has the router send about n bytes over the first line.
func (w *watched) spend(n int) {
	w.t.Helper()
	for ; n > 0; n -= 50_000 {
		w.Router.Run("ping", "-q", "-c", "50", "-i", "0.002", "-s", "1000", "-I", "wan1", "192.0.2.1")
	}
}

func (w *watched) quota(uplink string) (left, extra uint64) {
	w.t.Helper()
	var s struct {
		Uplinks []struct {
			Name  string
			Quota *struct{ Left, Extra uint64 }
		}
	}
	if err := json.Unmarshal([]byte(w.router.pbr("status", "--json").Stdout), &s); err != nil {
		w.t.Fatal(err)
	}
	for _, u := range s.Uplinks {
		if u.Name == uplink && u.Quota != nil {
			return u.Quota.Left, u.Quota.Extra
		}
	}
	w.t.Fatalf("uplink %s has no quota", uplink)
	return 0, 0
}

// unfolded is the text of pbr explain without its line breaks.
func unfolded(text string) string { return regexp.MustCompile(`\n│? +`).ReplaceAllString(text, " ") }

// A quota that is used up takes new connections away, over restarts, until it is reset; an order is
// stronger.
func TestWatchQuota(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(watchPolicy, "interface = \"wan1\"\n",
		"interface = \"wan1\"\nquota = { bytes = \"500kB\", per = \"month\" }\n", 1)
	w := startWatched(t, policy, 2)
	before, _ := w.quota("isp1")
	calls := w.calls(3, byDefault, "isp1")
	step := steps.Of(t)
	step.Run("used up: new connections go elsewhere, the others stay", func(t *testing.T) {
		w.spend(550_000)
		w.waitState("isp1", "over-quota")
		w.waitArrives(byDefault, "isp2")
		calls.stillUp("the quota degrades")
		if left, _ := w.quota("isp1"); left != 0 || before == 0 {
			t.Errorf("%d bytes left, %d before", left, before)
		}
		if res := w.router.pbr("status"); res.Code != 3 ||
			!matches(`(?m)^quota of isp1: .* used up, reset on \d+-\d+-01 00:00$`, res.Stdout) {
			t.Errorf("exit status %d:\n%s", res.Code, res.Stdout)
		}
	})
	step.Run("explain and doctor say so, and what adds to it", func(t *testing.T) {
		const why = `its quota is used up until \d+-\d+-01 00:00`
		if x := w.router.must("explain", byDefault.String(), "9.9.9.9:443/tcp"); !matches(`it is over-quota since .*: `+why+
			`: pbr uplink isp1 quota \+5GB`, unfolded(x)) {
			t.Errorf("explain:\n%s", x)
		}
		if text := w.router.pbr("doctor").Stdout; !matches(`isp1 \(wan1\) +pbr watch has it over-quota: `+why, text) ||
			!strings.Contains(text, "pbr uplink isp1 quota +5GB") {
			t.Errorf("doctor:\n%s", text)
		}
	})
	step.Run("the count outlives the watch", func(t *testing.T) {
		w.stop()
		if left, _ := w.quota("isp1"); left != 0 {
			t.Errorf("%d bytes left without a watch", left)
		}
		w.start()
		w.waitState("isp1", "over-quota")
	})
	step.Run("an order is stronger", func(t *testing.T) {
		w.router.must("uplink", "isp1", "up")
		w.waitArrives(byDefault, "isp1")
		w.router.must("uplink", "isp1", "auto")
		w.waitArrives(byDefault, "isp2")
	})
	step.Run("a grant adds to what is left", func(t *testing.T) {
		w.router.must("uplink", "isp1", "quota", "+50MB")
		w.waitArrives(byDefault, "isp1")
		left, extra := w.quota("isp1")
		if extra != 50e6 || left == 0 || left > extra {
			t.Errorf("%d left of %d granted", left, extra)
		}
	})
	step.Run("a reset gives all of it back", func(t *testing.T) {
		w.router.must("uplink", "isp1", "quota", "reset")
		if left, extra := w.quota("isp1"); left != 500_000 || extra != 0 {
			t.Errorf("after a reset: %d left, %d granted", left, extra)
		}
	})
	for _, args := range [][]string{{"uplink", "isp1", "quota"}, {"uplink", "isp1", "quota", "5GB"},
		{"uplink", "isp1", "quota", "+5"}, {"uplink", "isp2", "quota", "reset"}, {"uplink", "isp9", "quota", "reset"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			if res := w.router.pbr(args...); res.Code != 1 || res.Stderr == "" {
				t.Errorf("pbr %v: %d, %s", args, res.Code, res.Stderr)
			}
		})
	}
	step.Run("a grant without a watch", func(t *testing.T) {
		w.stop()
		w.router.must("uplink", "isp1", "quota", "+1MB")
		if _, extra := w.quota("isp1"); extra != 1e6 {
			t.Errorf("granted without a watch: %d", extra)
		}
	})
}

// A quota that ends what runs holds for the last uplink, too, and though main has a route by it.
func TestWatchQuotaOfTheLastUplink(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(watchPolicy, "interface = \"wan1\"\n",
		"interface = \"wan1\"\nquota = { bytes = \"500kB\", per = \"month\", then = \"down\" }\n", 1)
	w := startWatched(t, policy, 2)
	w.Router.IP("route replace default via 192.0.2.1 dev wan1 metric 900")
	w.Router.IP("link set wan2 down")
	w.waitState("isp2", "link-down")
	calls := w.calls(3, byDefault, "isp1")
	w.spend(550_000)
	w.waitState("isp1", "over-quota")
	w.waitArrives(byDefault, "")
	if n := calls.broken(); n != 3 {
		t.Errorf("%d of 3 connections ended", n)
	}
	if res := w.router.pbr("status"); res.Code != 3 || !matches(`(?m)^default +IPv4 +unreachable`, res.Stdout) {
		t.Errorf("exit status %d:\n%s", res.Code, res.Stdout)
	}
	w.router.inSync()
	w.router.must("uplink", "isp1", "quota", "+50MB")
	w.waitArrives(byDefault, "isp1")
}

// The router of a pair that does not hold the shared address: no failure, nothing is flushed, and
// no wait at its return.
func TestWatchStandby(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(watchPolicy, "interface = \"wan1\"\n", "interface = \"wan1\"\nstandby = true\n", 1)
	w := startWatched(t, policy, 2)
	w.waitState("isp1", "up")
	calls := w.calls(3, byDefault, "isp1")
	for range 3 {
		w.Router.IP("addr del 192.0.2.2/24 dev wan1")
		lab.WaitFor(t, "standby", func() bool {
			s, _ := w.status()
			return s.Uplinks[0].Versions["ipv4"].State == "standby"
		})
		if s, code := w.status(); code != 0 || s.Uplinks[0].Versions["ipv4"].Usable {
			t.Errorf("exit status %d, %+v", code, s.Uplinks[0])
		}
		w.waitArrives(byDefault, "isp2")
		w.Router.IP("addr add 192.0.2.2/24 dev wan1")
		w.waitArrives(byDefault, "isp1")
	}
	calls.stillUp("three takeovers")
	w.logged("uplink isp1 IPv4: standby", "another router of the pair holds the shared address")
	w.stop()
	for i := range 2 { // of the last watch, and of the next one
		if text := w.router.must("status", "--events"); !matches(`(?m)isp1 +4 +up +standby +`, text) ||
			!matches(`(?m)isp1 +4 +standby +`, text) {
			t.Errorf("pbr status --events:\n%s", text)
		}
		if i == 0 {
			w.start()
		}
	}
}
