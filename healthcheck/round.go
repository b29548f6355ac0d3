package healthcheck

import (
	"errors"
	"fmt"
	"time"
)

// errNoTarget is a round's error if there is nothing to probe: the gateway is "auto" and not known
// yet.
var errNoTarget = fmt.Errorf("%w: no gateway is known", ErrNotProbed)

// Round takes the answers of one round, which was sent after the last change of link and check.
func (m *stateMachine) Round(now time.Time, answers []Answer) (Event, bool) {
	m.probeError = errorText(probeError(answers))
	good, counts := m.judge(answers)
	if !counts {
		return Event{}, false
	}
	m.rounds++
	m.window.add(answers)
	if good {
		m.good, m.bad = m.good+1, 0
	} else {
		m.good, m.bad = 0, m.bad+1
		m.lastFailure, m.lastFailureAt = failure(answers), now
		m.held = m.held && m.bad < m.cfg.DownAfter // from then on the probes say so, too
	}
	return m.change(now, m.decide(now))
}

// judge reports whether a round is good, and whether it counts at all: it does not if probes that
// could not be sent might have decided it.
func (m *stateMachine) judge(answers []Answer) (good, counts bool) {
	if len(answers) == 0 {
		return false, false
	}
	need := min(m.cfg.Quorum, len(answers))
	answered, unknown := 0, 0
	for _, a := range answers {
		switch {
		case a.Err == nil:
			answered++
		case notProbed(a.Err):
			unknown++
		}
	}
	return answered >= need, answered >= need || answered+unknown < need
}

// decide changes the verdict if the rounds say so, and returns why.
func (m *stateMachine) decide(now time.Time) (why string) {
	limit := m.overLimit()
	m.asking = false
	switch {
	case m.verdict == Unconfirmed && m.good > 0:
		m.verdict = Up
		return m.answered()
	case m.verdict == Unconfirmed:
		m.asking = true
	case m.verdict == Start && m.bad > 0 && !m.returned:
		return m.fail("the first round failed: " + m.lastFailure)
	case m.verdict == Start && m.good > 0 && limit == "":
		m.verdict = Up
		return m.answered()
	case m.verdict != Down && m.bad >= m.cfg.DownAfter:
		return m.fail(fmt.Sprintf("%s failed: %s", rounds(m.bad), m.lastFailure))
	case m.verdict == Down && m.good >= m.cfg.UpAfter && !m.damping.held(now):
		m.window.keep(m.good) // the rounds that failed before are no part of the new life
		if limit = m.overLimit(); limit == "" {
			m.verdict = Up
			return m.answered()
		}
		m.verdict = Degraded
	case (m.verdict == Up || m.verdict == Start) && limit != "":
		m.verdict = Degraded
	case m.verdict == Degraded && limit == "" && m.good >= m.cfg.UpAfter && !m.damping.held(now):
		m.verdict = Up
		return "within the limits again"
	}
	return limit
}

// overLimit returns which limit the last rounds exceed. The loss that makes an uplink degraded is
// counted as if the rounds that are missing in the window were good, so that the first lost probe
// of a young window is not a loss of 100 %.
func (m *stateMachine) overLimit() string {
	c := m.cfg
	if c.MaxLoss <= 0 && c.MaxRTT <= 0 && c.MaxJitter <= 0 {
		return ""
	}
	q := m.window.quality(c.Quorum)
	loss, factor := q.full, 1.0
	if m.verdict == Degraded {
		loss, factor = q.loss, recovery
	}
	enough := q.rounds >= min(c.Over, c.UpAfter)
	over := func(is, limit time.Duration) bool {
		return limit > 0 && enough && is > time.Duration(factor*float64(limit))
	}
	switch {
	case c.MaxLoss > 0 && loss > factor*c.MaxLoss:
		return fmt.Sprintf("loss of %.0f %% in the last %s, the limit is %.0f %%", 100*q.loss, rounds(q.rounds), 100*c.MaxLoss)
	case over(q.rtt, c.MaxRTT):
		return fmt.Sprintf("round trip of %v over the last %s, the limit is %v", q.rtt.Round(10*time.Microsecond),
			rounds(q.rounds), c.MaxRTT)
	case over(q.jitter, c.MaxJitter):
		return fmt.Sprintf("jitter of %v over the last %s, the limit is %v", q.jitter.Round(10*time.Microsecond),
			rounds(q.rounds), c.MaxJitter)
	}
	return ""
}

// recovery is the part of each limit below which a degraded uplink is up again, so that one at the
// limit does not swing.
const recovery = 0.8

// answered is the reason of an uplink that is up.
func (m *stateMachine) answered() string {
	if q := m.window.quality(m.cfg.Quorum); q.rtt > 0 {
		return fmt.Sprintf("%s answered, in %v", rounds(m.good), q.rtt.Round(10*time.Microsecond))
	}
	return rounds(m.good) + " answered"
}

// failure returns why a round failed, by its first target that did.
func failure(answers []Answer) string {
	text, more := "", -1
	for _, a := range answers {
		if a.Err == nil {
			continue
		}
		if more++; more == 0 {
			text = a.Target + ": " + a.Err.Error()
		}
	}
	if more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// probeError returns why not all of a round could be sent, nil if it was.
func probeError(answers []Answer) error {
	if len(answers) == 0 {
		return errNoTarget
	}
	for _, a := range answers {
		if notProbed(a.Err) {
			return fmt.Errorf("probing %s: %w", a.Target, a.Err)
		}
	}
	return nil
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// rounds is a number of rounds in words.
func rounds(n int) string {
	if n == 1 {
		return "1 round"
	}
	return fmt.Sprintf("%d rounds", n)
}

// errNoAnswer is a probe's error when its time is over.
var errNoAnswer = errors.New("no answer")
