package kernel

import (
	"encoding/json"
	"os"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
	"pbr/kernel/tap/learn"
)

const (
	// ledgerFile stores the nftables generations that differ only in members of run-time sets.
	ledgerFile = "generations"
	// tapFile tells commands how the running watch reads DNS answers.
	tapFile = "tap.json"
)

// learning is what the kernel offers for reading DNS answers, and who reads them.
type learning struct {
	learner *learn.Learner
	asked   bool
	// ways are the best way to hold answers back (plan.TapNone if there is none), and whether
	// answers can be copied.
	hold plan.Tap
	log  bool
	// told is the content of tapFile.
	told tapNote
}

// tapNote is the format of tapFile.
type tapNote struct {
	Queue  uint16   `json:"queue"`
	Way    plan.Tap `json:"way"`
	Reason string   `json:"reason"`
}

// Learner returns what fills lists from DNS answers. The caller has to run it, and has to call
// Learner before Events, which does not report the learner's own changes. From now on HostFacts
// binds the queue.
func (k *Kernel) Learner() (*learn.Learner, error) {
	if k.learning.learner == nil {
		l, err := learn.New(k.nft.Ledger)
		if err != nil {
			return nil, err
		}
		k.learning.learner = l
		k.beside = append(k.beside, l.Conn())
	}
	return k.learning.learner, nil
}

// tap fills in how DNS answers can be read.
func (k *Kernel) tap(m *plan.HostFacts, queue uint16) {
	l := &k.learning
	if queue == 0 {
		return // -- nobody reads; the learner releases the queue when it has nothing to learn
	}
	if !l.asked && !l.ask(k.nft) {
		return // -- without the privilege to ask, everything that a current kernel has counts as present
	}
	if l.learner == nil {
		m.Tap, m.TapReason = l.best()
		if n := k.readTap(); n.Queue == queue && n.Way > m.Tap {
			m.Tap, m.TapReason = n.Way, n.Reason
		}
		return
	}
	m.Tap, m.TapReason = l.learner.Listen(queue, l.hold != plan.TapNone, l.log, l.hold)
	k.noteTap(tapNote{queue, m.Tap, m.TapReason})
}

// ask finds out what the kernel supports.
func (l *learning) ask(c *nft.Conn) bool {
	refused, err := c.ProbeActions([]plan.Action{plan.Queue{Number: 1}, plan.QueueTarget{Number: 1}, plan.LogGroup{Group: 1}})
	if err != nil {
		return false
	}
	l.asked, l.hold, l.log = true, plan.TapNone, refused[2] == nil
	switch {
	case refused[0] == nil:
		l.hold = plan.TapQueue
	case refused[1] == nil:
		l.hold = plan.TapTarget
	}
	return true
}

// best returns the best way that the kernel supports.
func (l *learning) best() (plan.Tap, string) {
	switch {
	case l.hold != plan.TapNone:
		return l.hold, ""
	case l.log:
		return plan.TapLog, learn.NoQueue
	}
	return plan.TapNone, learn.NoQueue + ", and " + learn.NoLog
}

// noteTap writes the way into tapFile for commands. If that fails, it is tried again the next time
// the host facts are read.
func (k *Kernel) noteTap(n tapNote) {
	if n == k.learning.told {
		return
	}
	b, err := json.Marshal(n)
	if err == nil && os.WriteFile(k.path(tapFile), b, 0o600) == nil {
		k.learning.told = n
	}
}

// TapReason returns why DNS answers are not read in a better way, as the watch recorded it.
func (k *Kernel) TapReason() string { return k.readTap().Reason }

func (k *Kernel) readTap() (n tapNote) {
	if b, err := os.ReadFile(k.path(tapFile)); err != nil || json.Unmarshal(b, &n) != nil {
		return tapNote{}
	}
	return n
}
