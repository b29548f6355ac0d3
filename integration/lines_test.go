package integration

import (
	"strings"
	"testing"

	"pbr/integration/lab"
)

// Uplinks are not only plain interfaces: tagged ones, bridges, PPP sessions. Each carries
// connections both ways, fails over when the line below it goes, and takes new connections when it
// is back.
func TestVMLines(t *testing.T) {
	t.Parallel()
	for _, line := range []struct {
		line lab.Line
		// needs is the kernel's part; off breaks the line, on repairs it.
		needs   string
		off, on func(w *watched)
	}{
		{lab.VLANLine, "vlan", cableOff, cableOn},
		{lab.BridgeLine, "bridge", func(w *watched) { w.ISPs["isp1"].IP("link set up0 down") }, func(w *watched) {
			w.ISPs["isp1"].IP("link set up0 up")
			w.ISPs["isp1"].IP6("addr replace 2001:db8:f1::1/64 dev up0")
		}},
		{lab.PPPLine, "ppp", (*watched).hangUpPPP, (*watched).dialPPP},
	} {
		t.Run(string(line.line), func(t *testing.T) {
			t.Parallel()
			lab.NeedKernel(t, line.needs)
			if line.line == lab.PPPLine {
				lab.NeedProgram(t, "pppd")
			}
			isp1 := lab.ISP(1)
			isp1.Line = line.line
			policy := watchPolicy
			if line.line == lab.PPPLine {
				policy = strings.Replace(policy, "gateway = \"192.0.2.1\"\ngateway6 = \"2001:db8:f1::1\"\n", "", 1)
			}
			w := newWatchedNet(t, policy, lab.Spec{
				LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 12)},
				ISPs: []lab.ISPSpec{isp1, lab.ISP(2)},
			})
			w.Router.ServeEcho(serverPort)
			w.start()
			w.waitState("isp1", "up")
			w.waitState("isp2", "up")
			w.waitArrives(byDefault, "isp1")
			second := w.calls(2, bySecond, "isp2")
			w.fromOutside("isp1")

			stream := w.lan.Stream(byDefault, farEnd, streamPace)
			w.waitAnswered(stream, "isp1")
			line.off(w)
			w.waitAnswered(stream, "isp2")
			t.Logf("stream: %v", stream.Stop())
			w.waitState("isp1", "link-down")
			line.on(w)
			w.waitState("isp1", "up")
			w.waitArrives(byDefault, "isp1")
			w.fromOutside("isp1")
			lab.WaitFor(t, "all to be back", func() bool { return w.router.pbr("diff").Code == 0 })
			second.stillUp("isp1 lost and found")
		})
	}
}

func cableOff(w *watched) { w.ISPs["isp1"].IP("link set " + lab.CableEnd + " down") }

// cableOn repairs the cable; the kernel has forgotten the IPv6 addresses of what was on it.
func cableOn(w *watched) {
	w.ISPs["isp1"].IP("link set "+lab.CableEnd+" up", "link set up0 up")
	w.ISPs["isp1"].IP6("addr replace 2001:db8:f1::1/64 dev up0")
}

func (w *watched) hangUpPPP() { w.HangUpPPP("isp1") }

// dialPPP starts a new session; its device is a new one of the old name.
func (w *watched) dialPPP() {
	w.StartPPP("isp1")
	w.Router.IP("addr add 2001:db8:f1::2/64 dev wan1")
	w.ISPs["isp1"].IP("addr add 2001:db8:f1::1/64 dev up0")
}
