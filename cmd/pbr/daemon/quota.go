package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"pbr/compiler/policy"
	"pbr/healthcheck"
	"pbr/healthcheck/quota"
)

const (
	// quotaLook is the time between two looks at what interfaces counted.
	quotaLook = 2 * time.Second
	// quotaSave is the least time between two writes of what was counted.
	quotaSave = time.Minute
	// quotaFile has the counts in the state directory.
	quotaFile = "quota.json"
)

// Lasting stores files across a reboot; a state.Dir is one.
type Lasting interface {
	Load(name string, v any) error
	Save(name string, v any) error
}

// QuotaStatus is what is left of an uplink's quota.
type QuotaStatus struct {
	Bytes uint64 `json:"bytes"`
	Used  uint64 `json:"used"`
	// Extra was granted for this period on top of Bytes.
	Extra uint64 `json:"extra"`
	Left  uint64 `json:"left"`
	Per   string `json:"per"`
	Then  string `json:"then"`
	// Resets is when the next period begins.
	Resets time.Time `json:"resets"`
}

// Quotas are the counts of all uplinks that have a quota, or had one.
type Quotas struct {
	dir    Lasting
	counts map[string]*quota.Count
	saved  time.Time
}

// LoadQuotas reads the saved counts. The error means that the file is damaged; counting then starts
// again.
func LoadQuotas(dir Lasting) (*Quotas, error) {
	q := &Quotas{dir: dir, counts: map[string]*quota.Count{}}
	if dir == nil {
		return q, nil
	}
	err := dir.Load(quotaFile, &q.counts)
	if q.counts == nil {
		q.counts = map[string]*quota.Count{}
	}
	maps.DeleteFunc(q.counts, func(_ string, c *quota.Count) bool { return c == nil })
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return q, err
}

// Save writes the counts.
func (q *Quotas) Save(now time.Time) error {
	if q.dir == nil || len(q.counts) == 0 {
		return nil
	}
	q.saved = now
	return q.dir.Save(quotaFile, q.counts)
}

func (q *Quotas) of(uplink string) *quota.Count {
	if q.counts[uplink] == nil {
		q.counts[uplink] = &quota.Count{}
	}
	return q.counts[uplink]
}

// QuotaChange is a change of a quota by the administrator: restart counting, or add bytes for this
// period.
type QuotaChange struct {
	Reset bool   `json:"reset,omitempty"`
	Grant uint64 `json:"grant,omitempty"`
}

// Change makes the administrator's change.
func (q *Quotas) Change(u *policy.Uplink, c QuotaChange) error {
	if u.Quota.Bytes == 0 {
		return fmt.Errorf("uplink %s has no quota: give it one in the policy file, as quota = { bytes = "+
			"\"50GB\", per = \"month\" }", u.Name)
	}
	if c.Reset {
		q.of(u.Name).Reset()
	}
	q.of(u.Name).Grant(c.Grant)
	return nil
}

// Status returns what is left of an uplink's quota, nil if it has none.
func (q *Quotas) Status(u *policy.Uplink, now time.Time) *QuotaStatus {
	if u.Quota.Bytes == 0 {
		return nil
	}
	limit, c := limitOf(u.Quota), *q.of(u.Name)
	c.Roll(now, limit)
	s := &QuotaStatus{Bytes: limit.Bytes, Used: c.Used, Extra: c.Extra, Left: c.Left(limit), Per: string(limit.Per),
		Then: "degraded", Resets: c.Resets(now, limit)}
	if u.Quota.Close {
		s.Then = "down"
	}
	return s
}

func limitOf(q policy.Quota) quota.Limit {
	return quota.Limit{Bytes: q.Bytes, Per: quota.Period(q.Per), Day: q.Day, Weekday: q.Weekday}
}

// says returns the effect of a quota on its uplink.
func (q *Quotas) says(u *policy.Uplink) healthcheck.Quota {
	switch {
	case u.Quota.Bytes == 0 || q.of(u.Name).Left(limitOf(u.Quota)) > 0:
		return healthcheck.QuotaLeft
	case u.Quota.Close:
		return healthcheck.QuotaCloses
	}
	return healthcheck.QuotaDegrades
}

// countDue is when to look at what interfaces counted; never while no uplink has a quota.
func (w *Watcher) countDue(tick *time.Ticker) <-chan time.Time {
	if w.counted == w.doc && !slices.ContainsFunc(w.doc.Uplinks, func(u policy.Uplink) bool { return u.Quota.Bytes > 0 }) {
		return nil
	}
	return tick.C
}

// count reads what interfaces carried, and informs the monitor.
func (w *Watcher) count(now time.Time) {
	w.counted = w.doc
	var interfaces []string
	for i := range w.doc.Uplinks {
		if u := &w.doc.Uplinks[i]; u.Quota.Bytes > 0 {
			interfaces = append(interfaces, u.Interface)
		}
	}
	readings := map[string]quota.Reading{}
	if len(interfaces) > 0 {
		var err error
		if readings, err = w.Kernel.Traffic(interfaces); err != nil && !errors.Is(err, ErrInterrupted) {
			w.Log.Warn("reading the traffic of uplinks with a quota", "error", err)
		}
	}
	for i := range w.doc.Uplinks {
		u := &w.doc.Uplinks[i]
		if r, there := readings[u.Interface]; there {
			w.quotas.of(u.Name).Take(now, limitOf(u.Quota), r)
		} else if u.Quota.Bytes > 0 {
			w.quotas.of(u.Name).Roll(now, limitOf(u.Quota))
		}
	}
	if len(interfaces) > 0 && now.Sub(w.quotas.saved).Abs() >= quotaSave {
		w.saveQuotas(now)
	}
	w.sendQuotas(now)
}

// sendQuotas informs monitor and report of the quotas.
func (w *Watcher) sendQuotas(now time.Time) {
	status := map[string]*QuotaStatus{}
	for i := range w.doc.Uplinks {
		u := &w.doc.Uplinks[i]
		w.Monitor.Quota(u.Name, w.quotas.says(u))
		if s := w.quotas.Status(u, now); s != nil {
			status[u.Name] = s
		}
	}
	w.shared.update(func(r *Report) { r.Quotas = status })
}

func (w *Watcher) saveQuotas(now time.Time) {
	if err := w.quotas.Save(now); err != nil {
		w.Log.Warn("saving the traffic of uplinks with a quota", "error", err)
	}
}

// startQuotas reads the saved counts. The first reading is saved at once, as the base of the next
// run's.
func (w *Watcher) startQuotas() {
	var err error
	if w.quotas, err = LoadQuotas(w.Lasting); err != nil {
		w.Log.Warn(err.Error()+": quotas are counted from 0", "error", err)
	}
	w.count(time.Now())
}
