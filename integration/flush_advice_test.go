package integration

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// TestFlushAdvice: a machine that forwarded nothing before pbr, whose NAT is pbr's. After a flush
// the LAN is offline, and flush prints the commands that bring it back, as they are.
func TestFlushAdvice(t *testing.T) {
	t.Parallel()
	w := olderNet(t)
	w.Router.Run("sysctl", "-w", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
	w.router.write(strings.Replace(olderPolicy, "[pbr]\n", "[pbr]\nsysctl = true\n", 1))
	find := regexp.MustCompile(`(?m)(?:sysctl -w \S+|nft '.*')$`)
	w.router.must("apply", "--confirm", "60s")
	undone := w.router.pbr("revert")
	w.router.must("apply")
	res := w.router.pbr("flush")
	commands := find.FindAllString(res.Stderr, -1)
	if res.Code != 0 || len(commands) != 3 {
		t.Fatalf("exit status %d, %q in:\n%s", res.Code, commands, res.Stderr)
	}
	if got := find.FindAllString(undone.Stderr, -1); undone.Code != 0 || !slices.Equal(got, commands) {
		t.Errorf("revert: exit status %d, %q in:\n%s", undone.Code, got, undone.Stderr)
	}
	for _, c := range commands {
		w.Router.Run("sh", "-c", strings.ReplaceAll(c, "DEV", "wan1"))
	}
	c, err := w.lan.Dial("udp", netip.MustParseAddr("192.168.10.10"), netip.MustParseAddrPort("198.18.1.1:80"), lab.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := c.Ask(); err != nil || seen.By != "isp1" || seen.Src.Addr() != netip.MustParseAddr("192.0.2.2") {
		t.Errorf("after the commands: %+v, %v", seen, err)
	}
	if res := w.router.pbr("flush"); res.Stderr != "" {
		t.Errorf("with nothing to remove it says:\n%s", res.Stderr)
	}
}
