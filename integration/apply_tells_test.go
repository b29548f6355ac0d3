package integration

import (
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// apply says what keeps the policy from working, also when it fails, in three lines at most, and
// ends as it would without.
func TestApplyTellsWhatDoctorKnows(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.Sysctl("net/ipv4/ip_forward", "1")
	for _, dev := range []string{"all", "wan1", "wan2"} {
		r.Sysctl("net/ipv4/conf/"+dev+"/rp_filter", "0")
	}
	quiet := twoUplinks
	step := steps.Of(t)
	step.Run("nothing is wrong: nothing is told", func(t *testing.T) {
		r.write(quiet)
		if res := r.pbr("apply"); res.Code != 0 || strings.Contains(res.Stderr, "problem") ||
			strings.Contains(res.Stderr, "warning: watch") {
			t.Errorf("nothing is wrong: %d, %s", res.Code, res.Stderr)
		}
	})
	step.Run("a setting that is wrong is told", func(t *testing.T) {
		r.Sysctl("net/ipv4/ip_forward", "0")
		says(t, r.pbr("apply"), 0, "problem: ip_forward", "nothing is forwarded", "sysctl -w")
		r.Sysctl("net/ipv4/ip_forward", "1")
		for _, dev := range []string{"all", "wan1", "wan2"} {
			r.Sysctl("net/ipv4/conf/"+dev+"/rp_filter", "0")
		}
		r.Sysctl("net/ipv4/conf/wan2/rp_filter", "1")
		says(t, r.pbr("apply"), 0, "problem: rp_filter: wan2 has 1")
	})
	step.Run("three findings are told, and how many more there are", func(t *testing.T) {
		r.IP("rule add priority 900 from 203.0.113.7 lookup main")
		r.IP("rule add priority 901 from 203.0.113.8 lookup main")
		r.Sysctl("net/ipv4/ip_forward", "0")
		r.write(strings.Replace(quiet, "gateway = ", "check = { method = \"ping\", targets = \"9.9.9.9\" }\ngateway = ", 1))
		res := r.pbr("apply")
		says(t, res, 0, "problem: ip_forward", "problem: rp_filter", "2 more findings: pbr doctor")
		if n := strings.Count(res.Stderr, "pbr: problem") + strings.Count(res.Stderr, "pbr: warning"); n != 3 {
			t.Errorf("%d findings are shown:\n%s", n, res.Stderr)
		}
	})
	step.Run("a watch that does not run is told", func(t *testing.T) {
		r.Sysctl("net/ipv4/ip_forward", "1")
		r.Sysctl("net/ipv4/conf/wan2/rp_filter", "0")
		r.IP("rule del priority 900")
		r.IP("rule del priority 901")
		says(t, r.pbr("apply"), 0, "warning: watch", "does not run")
	})
	step.Run("but not at boot, before the watch", func(t *testing.T) {
		if res := r.pbr("apply", "--boot"); strings.Contains(res.Stderr, "watch") {
			t.Errorf("the boot unit comes before the watch: %s", res.Stderr)
		}
	})
	step.Run("a gateway in no network is told", func(t *testing.T) {
		r.write(strings.Replace(quiet, "gateway = \"192.0.2.1\"", "gateway = \"10.99.0.1\"", 1))
		says(t, r.pbr("apply"), 0, "gateway 10.99.0.1 is in no network of this router")
	})
	step.Run("rolled back, and told anyway", func(t *testing.T) {
		r.write(quiet)
		r.must("flush")
		r.Sysctl("net/ipv4/ip_forward", "0")
		r.IP("rule add priority 10500 from 203.0.113.9 lookup main")
		says(t, r.pbr("apply"), 1, "in use by others", "problem: ip_forward")
	})
}

// status says that nothing was applied, and where kernel or file differ from what was, and ends
// with 3.
func TestStatusOfWhatIsNotInForce(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	status := func(t *testing.T, words ...string) {
		t.Helper()
		res := r.pbr("status")
		for _, word := range words {
			if res.Code != 3 || !strings.Contains(res.Stdout, word) {
				t.Errorf("no %q, or exit status %d:\n%s%s", word, res.Code, res.Stdout, res.Stderr)
			}
		}
	}
	step := steps.Of(t)
	step.Run("not applied", func(t *testing.T) {
		r.write(twoUplinks)
		status(t, "not applied")
		if res := r.pbr("diff"); res.Code != 2 ||
			!strings.HasSuffix(res.Stdout, ": nothing of pbr is in the kernel yet, and pbr apply does all of this\n") {
			t.Errorf("diff: exit status %d:\n%s%s", res.Code, res.Stdout, res.Stderr)
		}
	})
	r.must("apply")
	good := func(t *testing.T) {
		t.Helper()
		if res := r.pbr("status"); res.Code != 0 || res.Stderr != "" {
			t.Errorf("in force: exit status %d, %s", res.Code, res.Stderr)
		}
	}
	step.Run("in force, whatever others change", func(t *testing.T) {
		good(t)
		r.Run("nft", "add", "table", "inet", "others") // changes the generation, and nothing of ours
		good(t)
	})
	step.Run("an edit that is not applied is a difference", func(t *testing.T) {
		r.write(twoUplinks + oneMorePolicy)
		status(t, "kernel differs: pbr diff", "is in force, as it was applied")
		if res := r.pbr("status", "--json"); res.Code != 3 || !strings.Contains(res.Stdout, `"state": "differs"`) {
			t.Errorf("exit status %d, %s", res.Code, res.Stdout)
		}
		r.must("apply")
		good(t)
	})
	step.Run("rules that are gone are a difference", func(t *testing.T) {
		r.Run("nft", "flush", "chain", "inet", "pbr", "classify")
		status(t, "kernel differs: pbr diff")
		r.must("apply")
	})
	step.Run("routes and ip rules that are gone are a difference", func(t *testing.T) {
		r.Run("sh", "-c", "ip rule del $("+
			"ip rule | sed -n '/proto 112\\|10[0-9][0-9][0-9]:/{s/^[0-9]*:\\t/ /;s/^/pref /;p;q}' | true); "+
			"ip route flush table all protocol 112")
		status(t, "kernel differs: pbr diff")
		r.must("apply")
		good(t)
	})
	step.Run("flushed: not applied", func(t *testing.T) {
		r.must("flush")
		status(t, "not applied")
	})
}
