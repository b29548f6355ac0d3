package integration

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// scheduledPolicy has a policy whose window begins at a minute, and one whose window ends then.
const scheduledPolicy = ispsIPv4 + `[default]
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

// The kernel switches by itself, to the second, without a watch; running connections stay. The zone
// is one in which it is noon in some seconds.
func TestScheduleSwitches(t *testing.T) {
	t.Parallel()
	w := newWatchedNet(t, scheduledPolicy, lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 12)},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}})
	noon := time.Now().Add(15 * time.Second)
	zone := zoneOfNoon(noon)
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
	step := steps.Of(t)
	step.Run("new connections follow the clock", func(t *testing.T) {
		lab.WaitFor(t, "the switch", func() bool { return w.arrives(begins) == "isp2" && w.arrives(ends) == "isp1" })
		if res := pbr("status"); strings.Count(res.Stdout, "- (outside its schedule until ") != 1 {
			t.Errorf("status does not say that one policy is outside its schedule:\n%s%s", res.Stdout, res.Stderr)
		}
		if time.Now().Before(noon.Add(-time.Second)) {
			t.Error("it switched too early")
		}
	})
	step.Run("a running connection stays", func(t *testing.T) {
		if still, err := runs.Ask(); err != nil || still.By != seen.By {
			t.Errorf("a running connection: %v, %v", still, err)
		}
	})
	for at, want := range map[string]string{"2031-06-02 12:30": "begins (", "2031-06-02 11:59": "default",
		"2031-06-02T11:30:00": "default", "12:00": "begins ("} {
		t.Run(at, func(t *testing.T) {
			if res := pbr("explain", "--at", at, begins.String(), "9.9.9.9:443/tcp"); !strings.Contains(
				strings.Join(strings.Fields(res.Stdout), " "), want) {
				t.Errorf("at %s: %s%s", at, res.Stdout, res.Stderr)
			}
		})
	}
	step.Run("no difference comes of it", func(t *testing.T) {
		if res := pbr("diff"); res.Code != 0 {
			t.Errorf("diff: %s%s", res.Stdout, res.Stderr)
		}
	})
	step.Run("check says how far the windows reach", func(t *testing.T) {
		if res := pbr("check"); !strings.Contains(res.Stdout, "reaches until") {
			t.Errorf("check: %s%s", res.Stdout, res.Stderr)
		}
	})
	w.clockBehind(pbr)
	w.Router.Run("rm", w.Router.LastingDir()+"/clock.json")
	w.flushesAtSwitch()
}

// bedtimePolicy has a policy whose start ends what runs, and one whose end moves it.
const bedtimePolicy = `
[[policy]]
name = "bedtime"
src = "192.168.10.11"
mac = "MAC"
schedule = "12:00-13:00"
at-start = "flush"
action = "drop"
[[policy]]
name = "office"
src = "192.168.10.12"
schedule = "11:00-12:00"
at-end = "flush"
uplink = "isp2"
strict = true
`

// flushesAtSwitch lets a watch run over a noon that comes soon, or later where the machine is slow.
func (w *watched) flushesAtSwitch() {
	w.t.Helper()
	child, office, other := netip.MustParseAddr("192.168.10.11"), netip.MustParseAddr("192.168.10.12"), netip.MustParseAddr("192.168.10.10")
	mac := strings.Fields(w.Router.Run("ip", "neigh", "show", child.String()))
	head, _, _ := strings.Cut(scheduledPolicy, "[schedules]")
	w.router.write(head + strings.Replace(bedtimePolicy, "MAC", mac[slices.Index(mac, "lladdr")+1], 1))
	for lead := 4 * time.Second; ; lead *= 2 {
		noon := time.Now().Add(lead)
		w.wrap = []string{"env", zoneOfNoon(noon)}
		w.start()
		lab.WaitFor(w.t, "the policy to be in force", func() bool { return w.arrives(office) == "isp2" || time.Now().After(noon) })
		w.Router.Run("conntrack", "-F") // of those that waited for it
		var runs []*lab.Conn
		for _, src := range []netip.Addr{child, office, other} {
			c, err := w.lan.Dial("tcp", src, farEnd, lab.DialOptions{})
			if err != nil {
				break
			}
			runs = append(runs, c)
		}
		if len(runs) < 3 || time.Until(noon) < time.Second/2 {
			w.stop()
			continue
		}
		w.logged("flushed connections because a schedule's window changed", "bedtime: start", "office: end", "connections=2 ")
		if _, err := runs[0].Ask(); err == nil {
			w.t.Error("what bedtime is to end goes on")
		}
		if _, err := runs[1].Ask(); err == nil {
			w.t.Error("a connection stays on the uplink of a window that ended")
		}
		if seen, err := runs[2].Ask(); err != nil || seen.By != "isp1" {
			w.t.Errorf("a connection of others: %v, %v", seen, err)
		}
		if by := w.arrives(office); by != "isp1" {
			w.t.Errorf("after the window a connection leaves through %q", by)
		}
		return
	}
}

// zoneOfNoon is a time zone in which it is noon then.
func zoneOfNoon(noon time.Time) string {
	east := (12*3600 - int(noon.Unix()%86400) + 86400) % 86400
	return fmt.Sprintf("TZ=XXX-%d:%02d:%02d", east/3600, east/60%60, east%60)
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
