package daemon

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pbr/compiler/plan"
	"pbr/healthcheck"
	"pbr/healthcheck/quota"
)

// keptFiles is a state directory in memory.
type keptFiles struct {
	files map[string][]byte
	saves int
}

func (k *keptFiles) Load(name string, v any) error {
	b, ok := k.files[name]
	if !ok {
		return fs.ErrNotExist
	}
	return json.Unmarshal(b, v)
}

func (k *keptFiles) Save(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	k.files[name] = b
	k.saves++
	return nil
}

func withQuota(then string) string {
	return strings.Replace(twoUplinks, "interface = \"wan1\"\n",
		"interface = \"wan1\"\nquota = { bytes = \"1MB\", per = \"day\", then = \""+then+"\" }\n", 1)
}

func (k *fakeKernel) carry(bytes uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.carried["wan1"]
	r.Boot, r.Index = "b", 2
	r.Bytes += bytes
	k.carried = map[string]quota.Reading{"wan1": r}
}

func TestQuotas(t *testing.T) {
	for then, flushed := range map[string][]string{"degraded": nil, "down": {"4 isp1 192.0.2.2"}} {
		t.Run(then, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// The evening of a day: a watch that runs through a whole one takes a minute of the
				// processor's.
				y, m, d := time.Now().Date()
				midnight := time.Date(y, m, d+1, 0, 0, 0, 0, time.Local)
				time.Sleep(time.Until(midnight.Add(-10 * time.Minute)))
				b := newBench(t, withQuota(then))
				b.lasting = &keptFiles{files: map[string][]byte{}}
				b.kernel.carry(7e6) // before the watch: counts for nothing
				b.start()
				sleep(downTime)
				b.wantRoutes("at first", "default", "wan1 wan2")
				b.kernel.carry(999_999)
				sleep(5 * time.Second)
				b.wantRoutes("a byte is left", "default", "wan1 wan2")
				b.kernel.carry(1)
				sleep(5 * time.Second)
				b.wantRoutes("nothing is left", "default", "wan2")
				b.wantFlushed("nothing is left", flushed...)
				s := b.w.Report().Uplinks[0]
				if s.State != healthcheck.OverQuota || !s.State.Failed() || s.Dead() != (then == "down") {
					t.Errorf("%s: %+v", then, s)
				}
				if q := b.w.Report().Quotas["isp1"]; q == nil || q.Left != 0 || q.Used != 1e6 || !q.Resets.After(time.Now()) ||
					q.Then != then {
					t.Errorf("%+v", q)
				}
				// A restart continues from there.
				b.stop()
				b.start()
				b.wantRoutes("after a restart", "default", "wan2")
				sleep(5 * time.Second)
				b.wantRoutes("some time later", "default", "wan2")
				// An order is stronger.
				if err := b.w.Force(t.Context(), "isp1", healthcheck.ForceUp); err != nil {
					t.Fatal(err)
				}
				b.wantRoutes("forced", "default", "wan1 wan2")
				if err := b.w.Force(t.Context(), "isp1", healthcheck.ForceAuto); err != nil {
					t.Fatal(err)
				}
				b.wantRoutes("by its quota again", "default", "wan2")
				// More is granted, and used up.
				if err := b.w.ChangeQuota(t.Context(), "isp1", QuotaChange{Grant: 500}); err != nil {
					t.Fatal(err)
				}
				b.wantRoutes("granted", "default", "wan1 wan2")
				b.kernel.carry(500)
				sleep(5 * time.Second)
				b.wantRoutes("the grant is used up", "default", "wan2")
				if err := b.w.ChangeQuota(t.Context(), "isp1", QuotaChange{Reset: true}); err != nil {
					t.Fatal(err)
				}
				b.wantRoutes("reset", "default", "wan1 wan2")
				b.kernel.carry(1e6)
				sleep(5 * time.Second)
				b.wantRoutes("used up again", "default", "wan2")
				if left := time.Until(midnight); left < time.Minute {
					t.Fatalf("%s of the day are left", left)
				}
				sleep(time.Until(midnight) + 5*time.Second)
				b.wantRoutes("another day", "default", "wan1 wan2")
				if err := b.w.ChangeQuota(t.Context(), "isp2", QuotaChange{Reset: true}); err == nil ||
					!strings.Contains(err.Error(), "no quota") {
					t.Errorf("an uplink without a quota: %v", err)
				}
				b.stop()
			})
		})
	}
}

// An uplink whose quota ends what runs is not kept for want of another, neither while it is ordered
// down, nor if the quota is used up then; and main does not go on with it.
func TestQuotaOfTheLastUplink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, withQuota("down"))
		b.lasting = &keptFiles{files: map[string][]byte{}}
		b.kernel.carry(0)
		b.start()
		sleep(downTime)
		b.kernel.setLink("wan2", func(l *plan.Link) { *l = plan.Link{} })
		b.events <- KernelEvent{Kind: HostChanged}
		synctest.Wait()
		b.wantRoutes("the first alone", "default", "wan1")
		b.kernel.carry(1e6)
		sleep(5 * time.Second)
		b.wantRoutes("used up", "default", "unreachable")
		b.wantRoutes("used up: what falls back to default", "both", "")
		b.wantRoutes("used up: probes", "isp1", "wan1")
		if log := b.log.String(); !strings.Contains(log, "table default is unreachable: the quota of its last uplink is used up") {
			t.Error(log)
		}
		order := func(mode string) {
			t.Helper()
			if err := b.w.Force(t.Context(), "isp1", mode); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		order("down")
		b.wantRoutes("ordered down", "default", "unreachable")
		b.stop()
		b.start()
		b.wantRoutes("ordered down, after a restart", "default", "unreachable")
		order("up")
		b.wantRoutes("ordered up", "default", "wan1")
		order("auto")
		b.wantRoutes("by its quota", "default", "unreachable")
		if err := b.w.ChangeQuota(t.Context(), "isp1", QuotaChange{Grant: 500}); err != nil {
			t.Fatal(err)
		}
		b.wantRoutes("granted", "default", "wan1")
		if log := b.log.String(); !strings.Contains(log, "table default is no longer unreachable") {
			t.Error(log)
		}
		order("down")
		b.wantRoutes("an order alone", "default", "wan1")
		b.kernel.carry(500)
		sleep(5 * time.Second)
		b.wantRoutes("used up while it is ordered down", "default", "unreachable")
		b.kernel.setLink("wan2", func(l *plan.Link) {
			*l = plan.Link{Up: true, Carrier: true, Addrs: []netip.Addr{netip.MustParseAddr("198.51.100.2")}}
		})
		b.events <- KernelEvent{Kind: HostChanged}
		sleep(downTime)
		b.wantRoutes("the other one is back", "default", "wan2")
		b.prober.set("isp2", true)
		sleep(downTime)
		b.wantRoutes("its check fails, which may be wrong", "default", "wan2")
		b.stop()
	})
}

// Counts are written once a minute at most, and a damaged file costs the count alone.
func TestQuotasAreKept(t *testing.T) {
	t.Run("they are written once a minute at most, and a damaged file costs the count alone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, withQuota("down"))
			kept := &keptFiles{files: map[string][]byte{quotaFile: []byte(`{"isp1": {"used": 5`)}}
			b.lasting = kept
			b.kernel.carry(1)
			b.start()
			saves := kept.saves
			for range 600 {
				b.kernel.carry(10)
				sleep(time.Second)
			}
			if n := kept.saves - saves; n < 9 || n > 10 {
				t.Errorf("%d writes in ten minutes", n)
			}
			b.kernel.carry(10)
			b.stop()
			q, err := LoadQuotas(kept)
			if err != nil || q.counts["isp1"].Used != 6010 {
				t.Errorf("kept %+v, %v", q.counts, err)
			}
			if !strings.Contains(b.log.String(), "quotas are counted from 0") {
				t.Error("a damaged file is not told of")
			}
		})
	})
	t.Run("a count that is null is none", func(t *testing.T) {
		if q, err := LoadQuotas(&keptFiles{files: map[string][]byte{quotaFile: []byte(`{"isp1": null}`)}}); err != nil ||
			len(q.counts) != 0 {
			t.Errorf("%v, %v", maps.Clone(q.counts), err)
		}
	})
	t.Run("that there is no file yet is not an error", func(t *testing.T) {
		if _, err := LoadQuotas(&keptFiles{}); errors.Is(err, fs.ErrNotExist) {
			t.Error("no file yet is an error")
		}
	})
}
