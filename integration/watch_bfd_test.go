package integration

import (
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

// bfdPolicy has the first provider checked by a BFD session with its gateway, in both versions. A
// busy machine may stand still for longer than a quick session allows; how quick one is is tested
// in healthcheck.
var bfdPolicy = strings.Replace(watchPolicy, `check = { method = "ping", targets = "9.9.9.9" }`,
	`check = { method = "bfd", interval = "300ms", multiplier = 5 }`, 1)

// bfdPeers are the first provider's two ends, as FRR is to know them.
var bfdPeers = []string{"peer 192.0.2.2 local-address 192.0.2.1 interface up0",
	"peer 2001:db8:f1::2 local-address 2001:db8:f1::1 interface up0"}

func bfdConfig() string {
	conf := "bfd\n"
	for _, p := range bfdPeers {
		conf += " " + p + "\n  receive-interval 300\n  transmit-interval 300\n  detect-multiplier 5\n"
	}
	return conf
}

// newBFD builds the network, with FRR at the first provider.
func newBFD(t *testing.T) (*watched, *lab.FRR) {
	t.Helper()
	w := newWatched(t, bfdPolicy, 2)
	isp := w.ISPs["isp1"]
	isp.NFT("table inet bfd {\n\tchain pre {\n\t\ttype filter hook prerouting priority raw\n\t\tudp dport " +
		"3784 notrack\n\t}\n}\n") // not for the echo server
	return w, isp.StartFRR(bfdConfig())
}

// The gateway's router dies: both versions leave it, its connections are flushed. That its
// administrator switches the session off is not a failure.
func TestWatchBFD(t *testing.T) {
	t.Parallel()
	w, frr := newBFD(t)
	w.start()
	w.waitState("isp1", "up")
	w.waitState("isp2", "up")
	lab.WaitFor(t, "both sessions", func() bool { return strings.Count(frr.VTYSH("show bfd peers"), "Status: up") == 2 })
	calls := w.calls(3, byDefault, "isp1")
	frr.VTYSH("conf t", "bfd", bfdPeers[0], "shutdown", "exit", bfdPeers[1], "shutdown")
	lab.WaitFor(t, "word of AdminDown", func() bool { return strings.Contains(w.router.pbr("status").Stdout, "AdminDown") })
	time.Sleep(3 * time.Second) // in which a failure would be noticed twice
	calls.stillUp("the session is switched off")
	if s := w.state("isp1"); s != "up" {
		t.Errorf("the session is switched off: %s", s)
	}
	frr.VTYSH("conf t", "bfd", bfdPeers[0], "no shutdown", "exit", bfdPeers[1], "no shutdown")
	lab.WaitFor(t, "both sessions again", func() bool {
		return strings.Count(frr.VTYSH("show bfd peers"), "Status: up") == 2 &&
			!strings.Contains(w.router.pbr("status").Stdout, "AdminDown")
	})
	w.waitState("isp1", "up")
	calls = w.calls(3, byDefault, "isp1")
	_ = frr.BFD.Kill()
	w.waitArrives(byDefault, "isp2")
	w.waitArrives(byDefault6, "isp2")
	w.waitState("isp1", "down")
	lab.WaitFor(t, "connections to be flushed", func() bool { calls.broken(); return len(calls.conns) == 0 })
	if _, code := w.status(); code != 3 {
		t.Errorf("exit status %d", code)
	}
	w.router.inSync()
	w.ISPs["isp1"].StartFRR(bfdConfig())
	w.waitState("isp1", "up")
	w.waitArrives(byDefault, "isp1")
	w.waitArrives(byDefault6, "isp1")
}

// Another program on the router has the port: the uplink is used, log and status say why it is not
// checked, and the session comes when the port is free.
func TestWatchBFDPortIsTaken(t *testing.T) {
	t.Parallel()
	w, _ := newBFD(t)
	own := w.Router.StartFRR("")
	lab.WaitFor(t, "bfdd on the router", func() bool { return strings.Contains(w.Router.Run("ss", "-lun"), ":3784") })
	w.start()
	w.logged("uplink isp1: probes cannot be sent", "port 3784 of wan1 is taken")
	if text := strings.Join(strings.Fields(w.router.pbr("status").Stdout), " "); !strings.Contains(text, "port 3784 of wan1 is taken") {
		t.Errorf("pbr status:\n%s", text)
	}
	if s := w.state("isp1"); s != "start" {
		t.Errorf("isp1 is %s", s)
	}
	w.waitArrives(byDefault, "isp1")
	_ = own.BFD.Kill()
	w.waitState("isp1", "up")
	w.logged("uplink isp1: probes can be sent again")
}
