package doctor

import (
	"testing"

	"pbr/kernel/facts"
)

func TestListsFromURLs(t *testing.T) {
	const url = "https://example.com/a.txt"
	for want, f := range map[Level]facts.Fetched{
		OK:   {List: "a", URL: url, At: "2026-11-28 06:00:00"},
		Warn: {List: "a", URL: url, At: "2026-11-28 06:00:00", Trouble: "the server answered 404 Not Found", Since: "2026-11-28 07:00:00"},
		Fail: {List: "a", URL: url},
	} {
		t.Run(string(want), func(t *testing.T) {
			e := &examination{Subject: &Subject{}, facts: &facts.Facts{Fetched: []facts.Fetched{f}}}
			e.lists()
			if len(e.out) != 1 || e.out[0].Level != want || (e.out[0].Do == "") != (want == OK) {
				t.Errorf("%+v: %+v, want %s", f, e.out, want)
			}
		})
	}
}
