package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// fakeTrials is Trials that notes what it is told.
type fakeTrials struct {
	now  func() time.Duration
	told []string
	// unrenewed is the error of Renew.
	unrenewed error
}

func (f *fakeTrials) note(words ...string) { f.told = append(f.told, strings.Join(words, " ")) }

func (f *fakeTrials) Parse(handed json.RawMessage) (*policy.Document, error) {
	return parsePolicy(string(handed))
}

func (f *fakeTrials) Begin(_ *policy.Document, _ *plan.Plan, in time.Duration) (time.Duration, error) {
	f.note("begin", in.String())
	return f.now() + in, nil
}

func (f *fakeTrials) Renew(in time.Duration) (time.Duration, error) {
	return f.now() + in, f.unrenewed
}

func (f *fakeTrials) Drop(*plan.Plan) error                     { f.note("drop"); return nil }
func (f *fakeTrials) Kept(*policy.Document) error               { f.note("kept"); return nil }
func (f *fakeTrials) Failed(err error) error                    { f.note("failed"); return nil }
func (f *fakeTrials) Is(doc *policy.Document, id PolicyID) bool { return doc.File == id.Name }

func (f *fakeTrials) Undone(doc, previous *policy.Document) error {
	f.note("undone")
	return nil
}

// strictBoth is twoUplinks with a route more in the table both.
var strictBoth = strings.Replace(twoUplinks, `name = "both"`, "name = \"both\"\nstrict = true", 1)

const (
	before = "wan2 wan1"
	after  = "wan2 wan1 unreachable"
)

// onTrial runs a test with a watch that takes policies.
func onTrial(t *testing.T, f func(b *bench, trials *fakeTrials)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		trials := &fakeTrials{now: func() time.Duration { return time.Since(b.booted) }}
		b.trials = trials
		b.start()
		f(b, trials)
		b.stop()
	})
}

func (b *bench) apply(text string, confirm time.Duration) error {
	_, err := b.w.ApplyPolicy(context.Background(), json.RawMessage(text), confirm)
	synctest.Wait()
	return err
}

func (f *fakeTrials) want(t *testing.T, when, told string) {
	t.Helper()
	if got := strings.Join(f.told, ", "); got != told {
		t.Errorf("%s: told %q, not %q", when, got, told)
	}
}

func TestTrialIsUndoneInTime(t *testing.T) {
	onTrial(t, func(b *bench, trials *fakeTrials) {
		if err := b.apply(strictBoth, time.Minute); err != nil {
			t.Fatal(err)
		}
		sleep(59 * time.Second)
		b.wantRoutes("a second before the end", "both", after)
		sleep(1100 * time.Millisecond)
		b.wantRoutes("after the end", "both", before)
		trials.want(t, "after the end", "kept, begin 1m0s, undone")
		if _, err := b.w.Confirm(context.Background()); !errors.Is(err, ErrNothingWaits) {
			t.Errorf("a late confirm: %v", err)
		}
	})
}

// TestTrialBeginsAfterTheApply: what the apply takes does not count, however long, unless the new
// end cannot be recorded.
func TestTrialBeginsAfterTheApply(t *testing.T) {
	for _, c := range []struct {
		name      string
		unrenewed error
		in        time.Duration
	}{{"as always", nil, time.Minute}, {"no room on the disk", errors.New("full"), 50 * time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			onTrial(t, func(b *bench, trials *fakeTrials) {
				trials.unrenewed = c.unrenewed
				b.kernel.do(func() {
					b.kernel.refuse = func(*plan.Plan) error { time.Sleep(10 * time.Second); return nil }
				})
				if err := b.apply(strictBoth, time.Minute); err != nil {
					t.Fatal(err)
				}
				b.kernel.do(func() { b.kernel.refuse = nil })
				sleep(c.in - time.Second)
				b.wantRoutes("a second before the end", "both", after)
				sleep(2100 * time.Millisecond)
				b.wantRoutes("after the end", "both", before)
			})
		})
	}
}

func TestTrialIsConfirmedOrReverted(t *testing.T) {
	onTrial(t, func(b *bench, trials *fakeTrials) {
		for _, err := range []error{b.apply(strictBoth, time.Minute), second(b.w.Confirm(context.Background()))} {
			if err != nil {
				t.Fatal(err)
			}
		}
		sleep(2 * time.Minute)
		b.wantRoutes("confirmed", "both", after)
		trials.want(t, "confirmed", "kept, begin 1m0s, kept")
		if err := b.apply(twoUplinks, time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := b.apply(twoUplinks, 0); err == nil || !strings.Contains(err.Error(), "(1m0s left)") ||
			!strings.Contains(err.Error(), "pbr revert") {
			t.Errorf("a second apply: %v", err)
		}
		b.reload(twoUplinks)
		if !strings.Contains(b.log.String(), "reload failed") {
			t.Error("a reload in a trial")
		}
		if _, err := b.w.Revert(context.Background()); err != nil {
			t.Fatal(err)
		}
		b.wantRoutes("reverted", "both", after)
		if _, err := b.w.Revert(context.Background()); !errors.Is(err, ErrNothingToRevert) {
			t.Errorf("reverted again: %v", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// What the kernel refuses changes nothing; an undo that it refuses is tried until it takes it.
func TestTrialBesideARefusingKernel(t *testing.T) {
	onTrial(t, func(b *bench, trials *fakeTrials) {
		b.kernel.do(func() { b.kernel.fail = errKernel })
		if err := b.apply(strictBoth, time.Minute); !errors.Is(err, errKernel) {
			t.Errorf("refused: %v", err)
		}
		b.kernel.do(func() { b.kernel.fail = nil })
		sleep(time.Minute)
		b.wantRoutes("refused", "both", before)
		trials.want(t, "refused", "kept, begin 1m0s, drop")
		if err := b.apply(strictBoth, time.Minute); err != nil {
			t.Fatal(err)
		}
		b.kernel.do(func() { b.kernel.fail = errKernel })
		sleep(70 * time.Minute)
		b.wantRoutes("an undo that fails", "both", after)
		b.kernel.do(func() { b.kernel.fail = nil })
		sleep(lastUndoRetry)
		b.wantRoutes("an undo that was tried again", "both", before)
		if last := trials.told[len(trials.told)-1]; last != "undone" {
			t.Errorf("told %s at the end", last)
		}
	})
}

// A watch that was started again in a trial keeps its end.
func TestTrialOfAnEarlierRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, strictBoth)
		trials := &fakeTrials{}
		b.trials = trials
		b.waits = &Trial{Previous: parse(t, twoUplinks), End: time.Since(b.booted) + 10*time.Second}
		b.start()
		sleep(9 * time.Second)
		b.wantRoutes("before the end", "both", after)
		sleep(1100 * time.Millisecond)
		b.wantRoutes("after the end", "both", before)
		trials.want(t, "after the end", "undone")
		b.stop()
	})
}
