package integration

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

// returnPolicy has default and a table move back, host .11 stay by the table although it is worse
// for default, host .12 move by its policy alone, host .13 stay although default moves.
var returnPolicy = strings.NewReplacer(
	"[default]\n", "[default]\non-return = \"move\"\nsettle = \"1s\"\n",
	"[[policy]]\nname = \"strict\"\nsrc = \"192.168.10.12\"\ntable = \"only-isp2\"\n", `
[[table]]
name = "first-isp1"
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[policy]]
name = "moves"
src = "192.168.10.12"
table = "first-isp1"
on-return = "move"
settle = "1s"
[[policy]]
name = "stays"
src = "192.168.10.13"
default = true
on-return = "keep"
[[policy]]
name = "named"
src = "192.168.10.14"
uplink = "isp1"
strict = false
on-return = "move"
settle = "1s"
`, "[[table]]\nname = \"only-isp2\"\nroutes = { uplink = \"isp2\" }\nstrict = true\n", "").Replace(watchPolicy)

// A better uplink is back, and has settled: what took the worse one moves back, signalling and
// media alike, and nothing else does.
func TestWatchOnReturn(t *testing.T) {
	t.Parallel()
	spec := lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 12, 13, 14)}}
	for i := range 2 {
		spec.ISPs = append(spec.ISPs, lab.ISP(i+1))
	}
	w := newWatchedNet(t, returnPolicy, spec)
	w.start()
	w.waitState("isp1", "up")
	w.waitState("isp2", "up")
	w.Router.ServeEcho(serverPort)
	host := func(n string) netip.Addr { return netip.MustParseAddr("192.168.10." + n) }
	media := w.lan.Stream(byDefault, farEnd, streamPace)
	w.waitAnswered(media, "isp1")
	w.dead("isp1", "9.9.9.9")
	w.waitArrives(byDefault, "isp2")
	w.waitAnswered(media, "isp2")
	moving := map[string]*calls{}
	for _, n := range []string{"10", "12", "14"} {
		moving[n] = w.calls(2, host(n), "isp2")
	}
	first, kept, inbound := w.calls(2, bySecond, "isp2"), w.calls(2, host("13"), "isp2"), w.fromOutside("isp2")
	voice := w.lan.Stream(host("12"), farEnd, streamPace) // begun by the worse uplink: its longest silence is that of the return
	w.waitAnswered(voice, "isp2")

	back := time.Now()
	w.alive("isp1", "9.9.9.9")
	w.waitState("isp1", "up")
	w.waitAnswered(media, "isp1")
	if took := time.Since(back); took < time.Second {
		t.Errorf("media moved %v after the first good probe could be, and settle is 1s", took)
	}
	for n, c := range moving {
		lab.WaitFor(t, "signalling of ."+n+" to move", func() bool { c.broken(); return len(c.conns) == 0 })
		if isp := w.arrives(host(n)); isp != "isp1" {
			t.Errorf(".%s calls again by %q", n, isp)
		}
	}
	first.stillUp("isp2 is its policy's first choice")
	kept.stillUp("its policy keeps")
	inbound.stillUp("it came in by isp2")
	w.logged("moved back to a better uplink")
	w.waitAnswered(voice, "isp1")
	tale := voice.Stop()
	t.Logf("voice: %v; media, the failure included: %v", tale, media.Stop())
	// On an idle machine it is below 0.1 s; what a check needs to fail again would be a break.
	if tale.Gap > lab.Patience(time.Second) {
		t.Errorf("the return took %v of silence", tale.Gap)
	}
	w.router.inSync()
}
