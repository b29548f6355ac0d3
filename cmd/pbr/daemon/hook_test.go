package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pbr/healthcheck"
)

func hookEvent(uplink string, from, to healthcheck.State) HookEvent {
	return HookEvent{Interface: "wan1", Event: healthcheck.Event{
		At: time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC), UplinkVersion: healthcheck.UplinkVersion{Uplink: uplink, Version: 4},
		From: from, To: to, Reason: "no answer",
	}}
}

func TestHookEnvironment(t *testing.T) {
	t.Run("it has the event, the uplink, both states and the reason", func(t *testing.T) {
		got := strings.Join(hookEvent("isp1", healthcheck.Up, healthcheck.Down).Environment(), "\n")
		want := "PBR_EVENT=down\nPBR_UPLINK=isp1\nPBR_INTERFACE=wan1\nPBR_FROM=up\nPBR_TO=down\n" +
			"PBR_REASON=no answer\nPBR_TIME=2026-02-03T04:05:06.000007Z\nPBR_VERSION=4"
		if got != want {
			t.Errorf("%s\nnot\n%s", got, want)
		}
	})
	for _, row := range []struct {
		from, to healthcheck.State
		kind     string
	}{
		{healthcheck.Start, healthcheck.Up, "change"}, {healthcheck.Start, healthcheck.Down, "down"},
		{healthcheck.Down, healthcheck.LinkDown, "change"}, {healthcheck.LinkDown, healthcheck.Start, "up"},
		{healthcheck.Up, healthcheck.Degraded, "degraded"}, {healthcheck.Degraded, healthcheck.Down, "down"},
		{healthcheck.Degraded, healthcheck.Up, "up"}, {healthcheck.Up, healthcheck.ForcedDown, "down"},
	} {
		t.Run(fmt.Sprintf("%s to %s is %s", row.from, row.to, row.kind), func(t *testing.T) {
			if got := hookEvent("x", row.from, row.to).Kind(); got != row.kind {
				t.Errorf("from %s to %s is %s, not %s", row.from, row.to, got, row.kind)
			}
		})
	}
}

// Each uplink's runs are in order and one at a time, and one that hangs holds up nobody else.
func TestHooksRunInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var ran []string
		log := &safeBuffer{}
		h := NewHooks(slog.New(slog.NewTextHandler(log, nil)), func(ctx context.Context, command string, environment []string) error {
			uplink, to := environment[1], environment[4]
			if strings.HasSuffix(to, "=down") {
				<-ctx.Done()
			}
			mu.Lock()
			defer mu.Unlock()
			ran = append(ran, command+" "+uplink+" "+to)
			if strings.HasSuffix(to, "=degraded") {
				return errors.New("exit status 7")
			}
			return ctx.Err()
		})
		h.Add(hookEvent("isp1", healthcheck.Start, healthcheck.Up)) // no command yet
		h.SetCommand("/a")
		began := time.Now()
		h.Add(hookEvent("isp1", healthcheck.Up, healthcheck.Down))
		h.Add(hookEvent("isp1", healthcheck.Down, healthcheck.Up))
		h.SetCommand("/b")
		h.Add(hookEvent("isp1", healthcheck.Up, healthcheck.Degraded))
		h.Add(hookEvent("isp2", healthcheck.Start, healthcheck.Up))
		if time.Since(began) != 0 {
			t.Error("Add waits")
		}
		h.Wait(t.Context())
		if d := time.Since(began); d != hookLimit {
			t.Errorf("it took %v", d)
		}
		want := []string{
			"/b PBR_UPLINK=isp2 PBR_TO=up", "/a PBR_UPLINK=isp1 PBR_TO=down",
			"/a PBR_UPLINK=isp1 PBR_TO=up", "/b PBR_UPLINK=isp1 PBR_TO=degraded",
		}
		if !slices.Equal(ran, want) {
			t.Errorf("ran %q", ran)
		}
		for _, words := range []string{"killed: it ran longer than 10s", "exit status 7"} {
			if !strings.Contains(log.String(), words) {
				t.Errorf("the log does not say %q:\n%s", words, log)
			}
		}
	})
}

// However many events come, few runs are under way, few wait, and the newest are among them.
func TestHooksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := 0, 0
		last := map[string]string{}
		h := NewHooks(slog.New(slog.DiscardHandler), func(_ context.Context, _ string, environment []string) error {
			mu.Lock()
			running++
			most = max(most, running)
			last[environment[1]] = environment[5]
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			running--
			return nil
		})
		h.SetCommand("/hook")
		for i := range 20 * 3 * hookQueue {
			e := hookEvent(fmt.Sprintf("isp%d", i%20), healthcheck.Up, healthcheck.Down)
			e.Reason = fmt.Sprint(i / 20)
			h.Add(e)
		}
		h.Wait(t.Context())
		if most != hookRuns {
			t.Errorf("%d at a time", most)
		}
		for uplink, reason := range last {
			if reason != fmt.Sprintf("PBR_REASON=%d", 3*hookQueue-1) {
				t.Errorf("the last event of %s was %s", uplink, reason)
			}
		}
	})
}
