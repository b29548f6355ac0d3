package notify

import (
	"bytes"
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

	"pbr/compiler/message"
	"pbr/compiler/policy"
)

// far is a server that answers as a test says.
type far struct {
	mu     sync.Mutex
	answer func(ctx context.Context, body string) error
	got    []string
	tried  []time.Duration // since began
	began  time.Time
}

func (f *far) post(ctx context.Context, _ *policy.Notify, body []byte) error {
	f.mu.Lock()
	f.tried = append(f.tried, time.Since(f.began))
	answer := f.answer
	f.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, string(body)); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, string(body))
	return nil
}

func (f *far) say(answer func(ctx context.Context, body string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer, f.tried, f.began = answer, nil, time.Now()
}

var target = policy.Notify{Pos: policy.Pos{Line: 1}, URL: "https://example.com/x", Template: "{{.reason}}"}

// sending runs a Sender to a far end in a bubble.
func sending(t *testing.T, test func(s *Sender, f *far, log *bytes.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		f, log := &far{began: time.Now()}, &bytes.Buffer{}
		s := newSender(slog.New(slog.NewTextHandler(log, nil)), f.post)
		s.SetTarget(target, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); s.Run(ctx) }()
		test(s, f, log)
		cancel()
		<-ended
	})
}

func event(kind string, n int) message.Message {
	return message.Message{Event: kind, Uplink: "isp1", To: kind, Reason: fmt.Sprint(n)}
}

func allSent(s *Sender) {
	s.Wait(context.Background())
	synctest.Wait()
}

func noWay(context.Context, string) error {
	return &wayError{errors.New("network is unreachable")}
}

func TestSentInOrder(t *testing.T) {
	sending(t, func(s *Sender, f *far, _ *bytes.Buffer) {
		for i := range 5 {
			s.Add(event("up", i))
		}
		allSent(s)
		if want := []string{"0", "1", "2", "3", "4"}; !slices.Equal(f.got, want) {
			t.Errorf("%q", f.got)
		}
		s.SetTarget(policy.Notify{}, nil)
		s.Add(event("up", 9))
		synctest.Wait()
		if len(f.got) != 5 || len(s.Unsent()) != 0 {
			t.Errorf("without a target: %q, %v", f.got, s.Unsent())
		}
	})
}

// Without a way messages are kept, 100 at most, however long it lasts; what was kept is sent within
// 5 s, and the log says all of it once.
func TestKeptWithoutAWay(t *testing.T) {
	sending(t, func(s *Sender, f *far, log *bytes.Buffer) {
		f.say(noWay)
		began := time.Now()
		for i := range 130 {
			s.Add(event("change", i))
		}
		if time.Since(began) != 0 {
			t.Error("Add waits")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(s.Unsent()); n != maxKept {
			t.Errorf("%d wait", n)
		}
		back := time.Now()
		f.say(nil)
		allSent(s)
		if d := time.Since(back); d > 5*time.Second-connectLimit {
			t.Errorf("sent after %v", d)
		}
		if len(f.got) != maxKept || f.got[0] != "30" || f.got[maxKept-1] != "129" {
			t.Errorf("%d arrived, from %s on", len(f.got), f.got[0])
		}
		for _, words := range []string{"events cannot be posted, they are kept", "too many events wait", "dropped=30",
			"events are posted again", "server=https://example.com"} {
			if strings.Count(log.String(), words) != 1 {
				t.Errorf("the log has not once %q:\n%s", words, log)
			}
		}
	})
}

// A server that does not accept a message gets it some times, with growing pauses, and then the
// next one.
func TestRefusedIsTriedSomeTimes(t *testing.T) {
	sending(t, func(s *Sender, f *far, log *bytes.Buffer) {
		f.say(func(_ context.Context, body string) error {
			if body == "0" {
				return &answerError{error: errors.New("500 Internal Server Error")}
			}
			return nil
		})
		s.Add(event("up", 0))
		time.Sleep(1500 * time.Millisecond)
		s.Add(event("up", 1)) // does not hurry the first one
		allSent(s)
		seconds := []time.Duration{0, 1, 3, 7, 15, 31, 31}
		for i := range seconds {
			seconds[i] *= time.Second
		}
		if !slices.Equal(f.tried, seconds) || !slices.Equal(f.got, []string{"1"}) {
			t.Errorf("tried at %v, arrived %q", f.tried, f.got)
		}
		if !strings.Contains(log.String(), "an event is not posted") || !strings.Contains(log.String(), "500 Internal Server Error") {
			t.Error(log)
		}
	})
}

func TestServerAsksForPatience(t *testing.T) {
	sending(t, func(s *Sender, f *far, _ *bytes.Buffer) {
		f.say(func(context.Context, string) error {
			if len(f.tried) == 1 {
				return &answerError{errors.New("429 Too Many Requests"), 20 * time.Second}
			}
			return nil
		})
		s.Add(event("up", 0))
		allSent(s)
		if !slices.Equal(f.tried, []time.Duration{0, 20 * time.Second}) {
			t.Errorf("tried at %v", f.tried)
		}
	})
}

// Who refuses connections is asked less and less often, and never given up; news of an uplink has
// it asked at once.
func TestWrongServer(t *testing.T) {
	sending(t, func(s *Sender, f *far, _ *bytes.Buffer) {
		f.say(func(context.Context, string) error { return &serverError{errors.New("connection refused")} })
		s.Add(event("down", 0))
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(f.tried); n < 120 || n > 130 {
			t.Errorf("tried %d times in an hour", n)
		}
		back := time.Now()
		f.say(nil)
		s.Add(event("up", 1))
		allSent(s)
		if time.Since(back) != 0 || len(f.got) != 2 {
			t.Errorf("%d arrived after %v", len(f.got), time.Since(back))
		}
	})
}

// A try that was under way when an uplink failed begins again: it may have been lost with the
// uplink.
func TestUplinkFailsOnTheWay(t *testing.T) {
	sending(t, func(s *Sender, f *far, log *bytes.Buffer) {
		f.say(func(ctx context.Context, _ string) error { <-ctx.Done(); return &answerError{error: ctx.Err()} })
		s.Add(event("degraded", 0))
		synctest.Wait()
		f.say(nil)
		began := time.Now()
		s.Add(event("change", 1))
		synctest.Wait()
		if len(f.got) != 0 {
			t.Errorf("a change that took nothing away: %q", f.got)
		}
		s.Add(event("down", 2))
		allSent(s)
		if time.Since(began) != 0 || !slices.Equal(f.got, []string{"0", "1", "2"}) || log.Len() > 0 {
			t.Errorf("%q after %v\n%s", f.got, time.Since(began), log)
		}
	})
}

// What a template cannot make is logged, and the next message is sent.
func TestTemplateFails(t *testing.T) {
	sending(t, func(s *Sender, f *far, log *bytes.Buffer) {
		to := target
		to.Template = `{{if eq .reason "0"}}{{index .tables.default 7}}{{end}}{{.reason}}`
		s.SetTarget(to, []string{"default"})
		for i := range 2 {
			m := event("up", i)
			m.Tables = map[string][]string{"default": {}}
			s.Add(m)
		}
		allSent(s)
		if !slices.Equal(f.got, []string{"1"}) || !strings.Contains(log.String(), "the template: ") ||
			!strings.Contains(log.String(), "index out of range") {
			t.Errorf("%q\n%s", f.got, log)
		}
	})
}
