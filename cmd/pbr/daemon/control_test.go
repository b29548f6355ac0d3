package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pbr/compiler"
	"pbr/healthcheck"
)

// controlled is forced and tells of it.
type controlled struct{ forced string }

func (c *controlled) RefreshLists(context.Context) error { return nil }

func (c *controlled) Report() Report {
	return Report{PID: 7, Policy: "p.toml", Down: compiler.Down(map[string]int{"isp1": 1}), Uplinks: []healthcheck.Status{{
		UplinkVersion: healthcheck.UplinkVersion{Uplink: "isp1", Version: 4}, State: healthcheck.Down, RTT: time.Millisecond,
	}}}
}

func (c *controlled) Events() []PastEvent { return []PastEvent{{Uplink: "isp1"}} }

func (c *controlled) KeepNames() {}

func (c *controlled) ProbePorts() map[string][]healthcheck.Port {
	return map[string][]healthcheck.Port{"isp1": {{Proto: 6, Number: 40000}}}
}
func (c *controlled) Measured() []Measured { return []Measured{{Uplink: "isp1", Version: 4}} }

func (c *controlled) ChangeQuota(_ context.Context, uplink string, q QuotaChange) error {
	c.forced = fmt.Sprintf("%s quota %v %d", uplink, q.Reset, q.Grant)
	return nil
}

func (c *controlled) Force(_ context.Context, uplink, mode string) error {
	if uplink != "isp1" {
		return errors.New("there is no uplink " + uplink)
	}
	c.forced = mode
	return nil
}

func (c *controlled) ApplyPolicy(_ context.Context, handed json.RawMessage, confirm time.Duration) (*Applied, error) {
	return &Applied{Changed: []string{string(handed), confirm.String()}}, nil
}

func (c *controlled) Confirm(context.Context) (*Applied, error) { return nil, ErrNothingWaits }

func (c *controlled) Revert(context.Context) (*Applied, error) {
	return &Applied{Changed: []string{"reverted"}}, nil
}

func TestControl(t *testing.T) {
	dir := t.TempDir()
	t.Run("without a socket no watch is running", func(t *testing.T) {
		if _, err := Ask(dir, Request{Do: "status"}); !errors.Is(err, ErrNotRunning) {
			t.Errorf("without a socket: %v", err)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("others cannot write to the socket", func(t *testing.T) {
		info, err := os.Stat(filepath.Join(dir, SocketName))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	})
	c := &controlled{}
	log := &safeBuffer{}
	ended := make(chan struct{})
	go func() { Serve(ctx, l, c, slog.New(slog.NewTextHandler(log, nil))); close(ended) }()

	t.Run("status", func(t *testing.T) {
		a, err := Ask(dir, Request{Do: "status"})
		if err != nil || a.Report == nil || a.Report.PID != 7 || a.Report.Uplinks[0].State != healthcheck.Down ||
			a.Report.Down[v4("isp1")] != 1 {
			t.Errorf("status: %+v, %v", a, err)
		}
	})
	t.Run("an order", func(t *testing.T) {
		if _, err := Ask(dir, Request{Do: "force", Uplink: "isp1", Mode: "down"}); err != nil || c.forced != "down" {
			t.Errorf("force: %v, %q", err, c.forced)
		}
	})
	for r, words := range map[Request]string{{Do: "force", Uplink: "isp9"}: "no uplink isp9", {Do: "dance"}: "unknown request"} {
		t.Run(r.Do, func(t *testing.T) {
			if _, err := Ask(dir, r); err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%+v: %v", r, err)
			}
		})
	}
	t.Run("what is no request ends its connection and nothing else", func(t *testing.T) {
		conn, err := net.Dial("unix", filepath.Join(dir, SocketName))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(strings.Repeat("x", 2*requestSize) + "\n")); err != nil {
			t.Log(err) // it may have been hung up already
		}
		var nothing Answer
		if err := json.NewDecoder(conn).Decode(&nothing); err == nil {
			t.Errorf("answered %+v", nothing)
		}
		_ = conn.Close()
	})
	cancel()
	<-ended
	t.Run("after its end no watch is running", func(t *testing.T) {
		if _, err := Ask(dir, Request{Do: "status"}); !errors.Is(err, ErrNotRunning) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// A socket that a killed watch left is not a watch, and no obstacle.
func TestControlAfterAKill(t *testing.T) {
	dir := t.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, SocketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	t.Run("it is not a watch", func(t *testing.T) {
		if _, err := Ask(dir, Request{Do: "status"}); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%v", err)
		}
	})
	t.Run("it is not an obstacle", func(t *testing.T) {
		again, err := Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		_ = again.Close()
	})
}

func TestMetrics(t *testing.T) {
	r := Report{
		Since: time.Unix(100, 0), Loaded: time.UnixMilli(100500),
		Uplinks: []healthcheck.Status{
			{UplinkVersion: healthcheck.UplinkVersion{Uplink: "isp1", Version: 4}, State: healthcheck.Up, Since: time.Unix(90, 0),
				RTT: 1500 * time.Microsecond, Loss: 0.25, Rounds: 4, Flaps: 1},
			{UplinkVersion: healthcheck.UplinkVersion{Uplink: "isp2", Version: 4}, State: healthcheck.LinkDown, Since: time.Unix(95, 0)},
		},
		Numbers: Numbers{Updates: 3, UpdateTime: 2 * time.Millisecond, Flushed: 9, Passes: 2, Repairs: 1, Reloads: 3, ReloadFailures: 1,
			Events:       map[healthcheck.UplinkVersion]map[healthcheck.State]int{{Uplink: "isp2", Version: 4}: {healthcheck.LinkDown: 2}},
			KernelEvents: map[KernelEventKind]int{Drift: 5}},
	}
	text := string(Metrics(r))
	for _, line := range []string{
		`# TYPE pbr_uplink_usable gauge`, `pbr_uplink_usable{uplink="isp1",version="4"} 1`,
		`pbr_uplink_usable{uplink="isp2",version="4"} 0`,
		`pbr_uplink_state{state="link-down",uplink="isp2",version="4"} 1`, `pbr_uplink_state{state="up",uplink="isp2",version="4"} 0`,
		`pbr_uplink_state_since_seconds{uplink="isp2",version="4"} 95`, `pbr_uplink_rtt_seconds{uplink="isp1",version="4"} 0.0015`,
		`pbr_uplink_loss_ratio{uplink="isp1",version="4"} 0.25`, `pbr_uplink_rounds_total{uplink="isp1",version="4"} 4`,
		`pbr_uplink_flaps{uplink="isp1",version="4"} 1`,
		`pbr_uplink_changes_total{to="link-down",uplink="isp2",version="4"} 2`, `# TYPE pbr_updates_total counter`, `pbr_updates_total 3`,
		`pbr_last_update_seconds 0.002`, `pbr_connections_cut_total 9`, `pbr_repairs_total 1`, `pbr_reloads_total{result="ok"} 2`,
		`pbr_reloads_total{result="failed"} 1`, `pbr_notices_total{kind="drift"} 5`, `pbr_start_time_seconds 100`,
		`pbr_policy_loaded_time_seconds 100.5`,
	} {
		t.Run(strings.Fields(line)[0], func(t *testing.T) {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("no line %s in\n%s", line, text)
			}
		})
	}
	t.Run("an uplink that answered nothing has no round trip", func(t *testing.T) {
		if strings.Contains(text, `pbr_uplink_rtt_seconds{uplink="isp2",version="4"}`) {
			t.Error("a round trip of an uplink that answered nothing")
		}
	})
}

func (c *controlled) HeldPolicy(context.Context, PolicyID) (*Applied, error) { return nil, nil }

func (c *controlled) CompareAll(context.Context) {}
