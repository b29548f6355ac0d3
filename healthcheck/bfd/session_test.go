package bfd

import (
	"slices"
	"testing"
	"time"

	"pbr/integration/steps"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const ms = time.Millisecond

// wire joins two sessions; its time is the test's.
type wire struct {
	now time.Time
	end [2]*Session
	// cut has the directions that lose everything: from end i.
	cut  [2]bool
	sent [2][]time.Time
}

func newWire(a, b *Session) *wire { return &wire{now: epoch, end: [2]*Session{a, b}} }

func session(interval time.Duration, multiplier uint8, discriminator uint32) *Session {
	return NewSession(epoch, interval, multiplier, discriminator, func() float64 { return 0.5 })
}

func (w *wire) deliver(from int, p *Packet) {
	for p != nil && !w.cut[from] {
		got, err := Unmarshal(p.Marshal())
		if err != nil {
			panic(err)
		}
		from = 1 - from
		p = w.end[from].Receive(w.now, got)
	}
}

// run lets time pass, and returns when the state of an end became another one for the first time,
// zero if it did not.
func (w *wire) run(d time.Duration, end int) (changed time.Duration) {
	began, was := w.now, w.end[end].State()
	for until := w.now.Add(d); w.now.Before(until); w.now = w.now.Add(ms) {
		for i, s := range w.end {
			s.Tick(w.now)
			if p := s.Send(w.now); p != nil {
				w.sent[i] = append(w.sent[i], w.now)
				w.deliver(i, p)
			}
		}
		if changed == 0 && w.end[end].State() != was {
			changed = max(w.now.Sub(began), 1)
		}
	}
	return changed
}

func (w *wire) want(t *testing.T, what string, a, b State) {
	t.Helper()
	if w.end[0].State() != a || w.end[1].State() != b {
		t.Errorf("%s: %v and %v, want %v and %v", what, w.end[0].State(), w.end[1].State(), a, b)
	}
}

func TestSessionsComeUpAndEnd(t *testing.T) {
	w := newWire(session(50*ms, 3, 1), session(50*ms, 3, 2))
	step := steps.Of(t)
	step.Run("both come up", func(t *testing.T) {
		if took := w.run(3*time.Second, 0); took == 0 || took > 3*time.Second {
			t.Errorf("up after %v", took)
		}
		w.want(t, "both talk", Up, Up)
		for i, s := range w.end {
			if s.polling || s.Detection() != 150*ms {
				t.Errorf("end %d: polling %v, detection %v", i, s.polling, s.Detection())
			}
		}
	})
	step.Run("packets leave at 75 to 100 % of the interval", func(t *testing.T) {
		w.sent[0] = nil
		w.run(time.Second, 0)
		if n := len(w.sent[0]); n < 20 || n > 27 {
			t.Errorf("%d packets in a second at 50 ms", n)
		}
	})
	step.Run("silence is noticed in time", func(t *testing.T) {
		w.cut = [2]bool{true, true}
		if took := w.run(time.Second, 0); took < 100*ms || took > 151*ms {
			t.Errorf("silence was noticed after %v", took)
		}
		w.want(t, "silence", Down, Down)
		if w.end[0].Diag() != DetectionEnded {
			t.Errorf("diagnostic %v", w.end[0].Diag())
		}
	})
	step.Run("while down few packets are sent", func(t *testing.T) {
		w.sent[0] = nil
		w.run(10*time.Second, 0)
		if n := len(w.sent[0]); n < 10 || n > 14 {
			t.Errorf("%d packets in 10 s while down", n)
		}
	})
	step.Run("they come up again", func(t *testing.T) {
		w.cut = [2]bool{}
		w.run(3*time.Second, 0)
		w.want(t, "they talk again", Up, Up)
	})
}

// Only one direction is dead: who still hears is told by the other one.
func TestOneDirectionDies(t *testing.T) {
	w := newWire(session(50*ms, 3, 1), session(50*ms, 3, 2))
	w.run(3*time.Second, 0)
	w.cut[0] = true
	if took := w.run(time.Second, 0); took > 152*ms {
		t.Errorf("told after %v", took)
	}
	if w.end[0].State() == Up || w.end[0].Diag() != NeighbourSaysSo || w.end[0].RemoteDiag() != DetectionEnded {
		t.Errorf("%v, %v, remote %v", w.end[0].State(), w.end[0].Diag(), w.end[0].RemoteDiag())
	}
}

// The slower of what one sends and the other can take counts, in each direction.
func TestIntervalsAreAgreedOn(t *testing.T) {
	w := newWire(session(10*ms, 3, 1), session(300*ms, 5, 2))
	w.run(5*time.Second, 0)
	step := steps.Of(t)
	step.Run("the slower of both counts", func(t *testing.T) {
		w.want(t, "unequal", Up, Up)
		if a, b := w.end[0].Detection(), w.end[1].Detection(); a != 5*300*ms || b != 3*300*ms {
			t.Errorf("detection %v and %v", a, b)
		}
	})
	step.Run("no more is sent than the other takes", func(t *testing.T) {
		w.sent[0] = nil
		w.run(3*time.Second, 0)
		if n := len(w.sent[0]); n < 10 || n > 14 {
			t.Errorf("%d packets in 3 s to a peer that takes one in 300 ms", n)
		}
	})
}

func TestAdminDown(t *testing.T) {
	w := newWire(session(50*ms, 3, 1), session(50*ms, 3, 2))
	w.run(3*time.Second, 0)
	step := steps.Of(t)
	step.Run("a farewell takes the other down, and is not a failure", func(t *testing.T) {
		bye := w.end[1].Farewell()
		if bye.State != AdminDown || bye.Diag != Administrative {
			t.Errorf("farewell %+v", bye)
		}
		w.deliver(1, &bye)
		if s := w.end[0]; s.State() != Down || !s.PeerOff() {
			t.Errorf("%v, off %v", s.State(), s.PeerOff())
		}
	})
	step.Run("silence after that is none either", func(t *testing.T) {
		w.cut[1] = true
		w.run(time.Minute, 0)
		if !w.end[0].PeerOff() {
			t.Error("silence after AdminDown is a failure")
		}
	})
	step.Run("switched on again it comes up", func(t *testing.T) {
		w.end[1], w.cut[1] = NewSession(w.now, 50*ms, 3, 9, func() float64 { return 0.5 }), false
		w.run(3*time.Second, 0)
		if w.want(t, "it is switched on again", Up, Up); w.end[0].PeerOff() {
			t.Error("still off")
		}
	})
}

// Who restarts has another discriminator, and says Down: the session ends, and comes up again.
func TestPeerRestarts(t *testing.T) {
	w := newWire(session(50*ms, 3, 1), session(50*ms, 3, 2))
	w.run(3*time.Second, 0)
	w.end[1] = NewSession(w.now, 50*ms, 3, 9, func() float64 { return 0.5 })
	if took := w.run(5*time.Second, 0); took == 0 {
		t.Error("not noticed")
	}
	w.want(t, "after a restart", Up, Up)
}

func TestReceiveRefusesOthersPackets(t *testing.T) {
	s := session(50*ms, 3, 1)
	t.Run("a packet for another session does not count", func(t *testing.T) {
		if s.Receive(epoch, Packet{State: Init, Multiplier: 3, Mine: 2, Yours: 7}) != nil || s.State() != Down || !s.deadline().IsZero() {
			t.Error("a packet for another session counts")
		}
	})
	t.Run("a question is answered at once", func(t *testing.T) {
		answer := s.Receive(epoch, Packet{State: Down, Multiplier: 3, Mine: 2, Poll: true, RequiredRx: ms})
		if answer == nil || !answer.Final || answer.Poll || answer.Yours != 2 || answer.State != Init {
			t.Errorf("answer %+v", answer)
		}
	})
}

// A peer in demand mode, or that takes nothing, is sent nothing.
func TestSilencedByThePeer(t *testing.T) {
	s := session(50*ms, 3, 1)
	s.Receive(epoch, Packet{State: Init, Multiplier: 3, Mine: 2, Yours: 1, RequiredRx: 50 * ms, DesiredTx: 50 * ms})
	s.Receive(epoch, Packet{State: Up, Multiplier: 3, Mine: 2, Yours: 1, RequiredRx: 50 * ms, DesiredTx: 50 * ms,
		Demand: true, Final: true})
	if s.Send(epoch.Add(time.Second)) != nil {
		t.Error("sent to a peer in demand mode")
	}
	s.Receive(epoch, Packet{State: Up, Multiplier: 3, Mine: 2, Yours: 1, DesiredTx: 50 * ms})
	if s.Send(epoch.Add(2*time.Second)) != nil {
		t.Error("sent to a peer that takes nothing")
	}
	s.Receive(epoch, Packet{State: Up, Multiplier: 3, Mine: 2, Yours: 1, RequiredRx: 50 * ms, DesiredTx: 50 * ms})
	if s.Send(epoch.Add(3*time.Second)) == nil {
		t.Error("nothing sent")
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	good := Packet{State: Up, Multiplier: 3, Mine: 1, Yours: 2, DesiredTx: 50 * ms, RequiredRx: 10 * ms, Poll: true,
		Demand: true, Diag: DetectionEnded}
	if got, err := Unmarshal(good.Marshal()); err != nil || got != good {
		t.Fatalf("%+v, %v", got, err)
	}
	for what, change := range map[string]func(b []byte) []byte{
		"short":           func(b []byte) []byte { return b[:23] },
		"length too big":  func(b []byte) []byte { b[3] = 25; return b },
		"length too low":  func(b []byte) []byte { b[3] = 23; return b },
		"version 0":       func(b []byte) []byte { b[0] &= 0x1f; return b },
		"authentication":  func(b []byte) []byte { b[1] |= flagAuth; return b },
		"multipoint":      func(b []byte) []byte { b[1] |= flagMultipoint; return b },
		"multiplier 0":    func(b []byte) []byte { b[2] = 0; return b },
		"discriminator 0": func(b []byte) []byte { copy(b[4:8], make([]byte, 4)); return b },
		"ours is 0":       func(b []byte) []byte { copy(b[8:12], make([]byte, 4)); return b },
	} {
		t.Run(what, func(t *testing.T) {
			if _, err := Unmarshal(change(slices.Clone(good.Marshal()))); err == nil {
				t.Errorf("%s: taken", what)
			}
		})
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(Packet{State: Up, Multiplier: 3, Mine: 1, Yours: 2}.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Unmarshal(b)
		if err != nil {
			return
		}
		s := session(50*ms, 3, p.Yours)
		s.Receive(epoch, p)
		s.Tick(epoch.Add(time.Hour))
	})
}
