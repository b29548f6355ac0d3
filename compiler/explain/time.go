package explain

import (
	"fmt"
	"time"

	"pbr/compiler"
	"pbr/compiler/policy"
)

// readTime reads when the packet comes: with a day, or today. Without a zone it is by the machine's
// clock.
func (x *Explainer) readTime(q *Question, text string) error {
	q.packet.Time = x.live.Now
	if text != "" {
		at, err := x.parseTime(text)
		if err != nil {
			return err
		}
		q.packet.Time, q.at = at, true
	}
	if q.at || !x.isLive() {
		at := q.packet.Time
		q.packet.InWindow = func(set string) bool {
			in, _ := compiler.InSchedule(x.doc, set, at, x.zone())
			return in
		}
	}
	return nil
}

func (x *Explainer) zone() *time.Location {
	if x.live.Zone == nil {
		return time.UTC
	}
	return x.live.Zone
}

// parseTime reads a time; one without a day is today's, or of the next weekday that is named.
func (x *Explainer) parseTime(text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if at, err := time.ParseInLocation(layout, text, x.zone()); err == nil {
			return at, nil
		}
	}
	y, m, d := x.live.Now.In(x.zone()).Date()
	if at, err := time.Parse("15:04", text); err == nil {
		return time.Date(y, m, d, at.Hour(), at.Minute(), 0, 0, x.zone()), nil
	}
	if len(text) > 4 {
		if day, ok := policy.Weekday(text[:3]); ok {
			if at, err := time.Parse(" 15:04", text[3:]); err == nil {
				ahead := (int(day) - int(x.live.Now.In(x.zone()).Weekday()) + 7) % 7
				return time.Date(y, m, d+ahead, at.Hour(), at.Minute(), 0, 0, x.zone()), nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("at: invalid time %q: write it as \"2006-01-02 15:04\", \"mon 15:04\" or \"15:04\"", text)
}

// scheduled reports whether a policy is in force when a packet comes.
func (x *Explainer) scheduled(p *policy.Policy, q *Question) bool {
	return p.InForce(q.packet.Time, x.zone())
}
