package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

// scheduledPolicy has a policy whose window begins at a minute, and one whose window ends then.
const scheduledPolicy = `
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
nat = "masquerade"
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
nat = "masquerade"
[default]
routes = { uplink = "isp1" }
[schedules]
begins = { from = "12:00", to = "13:00" }
[[policy]]
name = "begins"
src = "192.168.10.11"
schedule = "begins"
uplink = "isp2"
strict = true
[[policy]]
name = "ends"
src = "192.168.10.12"
schedule = "11:00-12:00"
uplink = "isp2"
strict = true
`

// The kernel switches by itself, to the second, without a watch; running connections stay. The zone is one in which it is noon in some seconds.
func TestScheduleSwitches(t *testing.T) {
	t.Parallel()
	w := newWatchedNet(t, scheduledPolicy, lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 12)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}})
	noon := time.Now().Add(15 * time.Second)
	east := (12*3600 - int(noon.Unix()%86400) + 86400) % 86400
	zone := fmt.Sprintf("TZ=XXX-%d:%02d:%02d", east/3600, east/60%60, east%60)
	pbr := func(args ...string) lab.Result {
		return w.Router.Exec("env", append([]string{zone, pbrPath, "--config", w.router.file}, args...)...)
	}
	if res := pbr("apply"); res.Code != 0 {
		t.Fatal(res.Stderr)
	}
	begins, ends := netip.MustParseAddr("192.168.10.11"), netip.MustParseAddr("192.168.10.12")
	before := [2]string{w.arrives(begins), w.arrives(ends)}
	runs, err := w.lan.Dial("tcp", begins, farEnd, lab.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seen, err := runs.Ask()
	if time.Now().Before(noon) && (before != [2]string{"isp1", "isp2"} || err != nil || seen.By != "isp1") {
		t.Errorf("before noon: %q; %v, %v", before, seen, err)
	}
	lab.WaitFor(t, "the switch", func() bool { return w.arrives(begins) == "isp2" && w.arrives(ends) == "isp1" })
	if time.Now().Before(noon.Add(-time.Second)) {
		t.Error("it switched too early")
	}
	if still, err := runs.Ask(); err != nil || still.By != seen.By {
		t.Errorf("a running connection: %v, %v", still, err)
	}
	for at, want := range map[string]string{"2031-06-02 12:30": "begins (", "2031-06-02 11:59": "default", "2031-06-02T11:30:00": "default", "12:00": "begins ("} {
		if res := pbr("explain", "--at", at, begins.String(), "9.9.9.9:443/tcp"); !strings.Contains(strings.Join(strings.Fields(res.Stdout), " "), want) {
			t.Errorf("at %s: %s%s", at, res.Stdout, res.Stderr)
		}
	}
	if res := pbr("diff"); res.Code != 0 {
		t.Errorf("diff: %s%s", res.Stdout, res.Stderr)
	}
	if res := pbr("check"); !strings.Contains(res.Stdout, "reaches until") {
		t.Errorf("check: %s%s", res.Stdout, res.Stderr)
	}
	w.clockBehind(pbr)
}

// clockBehind lets the last apply have been in the future.
func (w *watched) clockBehind(pbr func(...string) lab.Result) {
	w.t.Helper()
	w.Router.Run("sh", "-c", "echo '{\"applied\":\"2099-01-01T00:00:00Z\"}' > "+w.Router.LastingDir()+"/clock.json")
	if res := pbr("apply"); res.Code != 0 {
		w.t.Fatal(res.Stderr)
	}
	for _, src := range []string{"192.168.10.11", "192.168.10.12"} {
		if by := w.arrives(netip.MustParseAddr(src)); by != "isp2" {
			w.t.Errorf("while the clock is behind, %s leaves through %q", src, by)
		}
	}
	if res := pbr("status"); !strings.Contains(res.Stdout, "clock is behind") {
		w.t.Errorf("status: %s%s", res.Stdout, res.Stderr)
	}
}
