package integration

import (
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pbr/integration/lab"
)

// slowServer answers on a provider's internet after a delay, in nanoseconds, that may change.
func slowServer(t *testing.T, isp *lab.Host, delay *atomic.Int64) {
	t.Helper()
	var l net.Listener
	var err error
	isp.Do(func() { l, err = net.Listen("tcp", ":8099") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	isp.NFT("table inet slow { chain pre { type nat hook prerouting priority dstnat - 1; tcp dport 8099 " +
		"redirect to :8099; }; }") // ahead of the echo server
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Duration(delay.Load()))
			w.WriteHeader(http.StatusNoContent)
		}))
	}()
}

// Of two lines at one distance the quicker one is used, by each IP version for itself; when it
// becomes slow for long enough, new connections go by the other one, and running ones stay.
func TestWatchPreferLowestRTT(t *testing.T) {
	t.Parallel()
	policy := strings.NewReplacer(
		`check = { method = "ping", targets = "9.9.9.9" }`,
		`check = { method = "http", targets = ["http://9.9.9.9:8099/", "http://[2001:db8:fffe::9]:8099/"], timeout = "1s", over = 5 }`,
		"[default]\nroutes = [{ uplink = \"isp1\" }, { uplink = \"isp2\", distance = 2 }]",
		"[default]\nroutes = [{ uplink = \"isp1\" }, { uplink = \"isp2\" }]\nprefer = \"lowest-rtt\"\nhold = \"2s\"",
	).Replace(watchPolicy)
	w := newWatched(t, policy, 2)
	var first, second atomic.Int64
	slowServer(t, w.ISPs["isp1"], &first)
	slowServer(t, w.ISPs["isp2"], &second)
	first.Store(int64(60 * time.Millisecond))
	w.start()
	w.waitState("isp1", "up")
	w.waitState("isp2", "up")
	w.waitArrives(byDefault, "isp2")
	w.waitArrives(byDefault6, "isp2")
	running := w.calls(4, byDefault, "isp2")
	w.router.inSync()
	second.Store(int64(200 * time.Millisecond))
	w.waitArrives(byDefault, "isp1")
	w.waitArrives(byDefault6, "isp1")
	running.stillUp("isp2 has become slow")
	w.calls(3, byDefault, "isp1")
	w.router.inSync()
	w.stop()
	w.router.inSync()
}
