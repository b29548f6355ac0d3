package healthcheck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"pbr/integration/lab"
)

// The marks of the two lines, and the mask around them.
const (
	mark1 = 0x01000000
	mark2 = 0x02000000
)

// Limits of a probe in tests: an answer takes well below a millisecond, so the long one is for a
// busy machine and the short one for silence.
const (
	patience   = 10 * time.Second
	impatience = 300 * time.Millisecond
)

// lines is a router with two lines, the first of which has the main table's default route; the
// second one is reached by its mark alone.
type lines struct {
	*lab.Net
	router, far *lab.Host // far is at the second line's other end: it has every address of the internet
	prober      *SocketProber
}

func newLines(t testing.TB) *lines {
	n := lab.Build(lab.New(t), lab.Spec{ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}})
	for _, f := range []struct{ flag, gw1, gw2 string }{
		{"-4", "192.0.2.1", "198.51.100.1"}, {"-6", "2001:db8:f1::1", "2001:db8:f2::1"},
	} {
		n.Router.Run("ip", f.flag, "route", "add", "default", "via", f.gw1)
		for i, gw := range []string{f.gw1, f.gw2} {
			table := fmt.Sprint(101 + i)
			n.Router.Run("ip", f.flag, "route", "add", "default", "via", gw, "dev", fmt.Sprintf("wan%d", i+1), "table", table)
			n.Router.Run("ip", f.flag, "rule", "add", "fwmark", fmt.Sprintf("%#x/0xff000000", (i+1)<<24), "table",
				table, "priority", "10100")
		}
	}
	p := NewProber()
	p.enter = n.Router.Do
	l := &lines{Net: n, router: n.Router, far: n.ISPs["isp2"], prober: p}
	t.Cleanup(func() { p.Release("isp2") })
	return l
}

// isp2 is how the second line is checked.
func isp2(method string) Config {
	return Config{UplinkVersion: UplinkVersion{Uplink: "isp2"}, Interface: "wan2", Mark: mark2, Method: method, IPv4: true, IPv6: true}
}

// probe sends one probe over the second line.
func (l *lines) probe(method, target string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, err := l.prober.Probe(ctx, isp2(method), target)
	return err
}

// counted reads the packet counters of a host's table "count" by their rules' comments.
func counted(h *lab.Host) map[string]int {
	var doc struct {
		Nftables []struct {
			Rule *struct {
				Comment string
				Expr    []struct {
					Counter *struct{ Packets int }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(h.Run("nft", "-j", "list", "table", "inet", "count")), &doc); err != nil {
		h.T().Fatal(err)
	}
	out := map[string]int{}
	for _, o := range doc.Nftables {
		if o.Rule == nil {
			continue
		}
		for _, e := range o.Rule.Expr {
			if e.Counter != nil {
				out[o.Rule.Comment] = e.Counter.Packets
			}
		}
	}
	return out
}

// wantSilence fails the test unless a probe ends by its time.
func (l *lines) wantSilence(t *testing.T, method, target string) {
	t.Helper()
	if err := l.probe(method, target, impatience); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s %s: %v, want no answer", method, target, err)
	}
}

// wantAnswer fails the test unless a probe is answered.
func (l *lines) wantAnswer(t *testing.T, method, target string) {
	t.Helper()
	// A probe is one packet, which may be lost while addresses and neighbours settle.
	if _, err := l.probeAgain(t, isp2(method), target); err != nil {
		t.Errorf("%s %s: %v", method, target, err)
	}
}

// wantAnswerWithin is wantAnswer for a probe that must get along with a limit.
func (l *lines) wantAnswerWithin(t *testing.T, limit time.Duration, method, target string) {
	t.Helper()
	if err := l.probe(method, target, limit); err != nil {
		t.Errorf("%s %s: %v", method, target, err)
	}
}
