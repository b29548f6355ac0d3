package policy

import (
	"slices"
	"time"

	"pbr/compiler/policy/internal/tomltree"
)

const quotaExample = `quota = { bytes = "50GB", per = "month", day = 1, then = "degraded" }`

// quota reads an uplink's quota.
func (s *section) quota(q *Quota) {
	f := s.get("quota")
	if f == nil {
		return
	}
	if f.Value.Kind != tomltree.Table {
		s.errorAt(s.p.nodePos(&f.Value), codeWrongType, "quota", "write "+quotaExample,
			"quota: want an inline table { bytes = ... }, have %s", describe(&f.Value))
		return
	}
	t := s.p.section(f.Value.Fields, s.key("quota"), s.title()+": quota")
	q.Pos = t.pos()
	if text, pos := t.required("bytes", "50GB"); pos.Line != 0 {
		var err error
		if q.Bytes, err = ParseSize(text); err != nil {
			t.fault(pos, "bytes", badValue(SizeHint, "invalid size %q: %v", text, err))
		}
	}
	per, _ := t.word("per", "", string(PerMonth), string(PerWeek), string(PerDay))
	if q.Per = QuotaPeriod(per); t.fields.Get("per") == nil {
		t.missing("per", `per = "month"`)
	}
	t.quotaDay(q)
	then, _ := t.word("then", "degraded", "degraded", "down")
	q.Close = then == "down"
	t.done()
}

// quotaDay reads the day on which a period begins.
func (s *section) quotaDay(q *Quota) {
	q.Day, q.Weekday = 1, time.Monday
	f := s.fields.Get("day")
	switch {
	case f == nil:
		s.get("day")
	case q.Per == PerDay:
		s.get("day")
		s.errorAt(s.p.pos(f.Line, f.Col), codeConflict, "day", "leave it out", `day says when a month or a week begins, and per is "day"`)
	case q.Per == PerWeek:
		word, pos := s.word("day", "mon", weekdays[:]...)
		if pos.Line != 0 {
			q.Weekday = time.Weekday(slices.Index(weekdays, word))
		}
	default:
		day, _ := s.integer("day", 1, 1, 31)
		q.Day = int(day)
	}
}
