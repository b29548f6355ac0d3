package routeros

import "testing"

func TestTimesBecomeSchedules(t *testing.T) {
	for text, want := range map[string]string{
		"8h-18h,mon,tue,wed,thu,fri":         "mon,tue,wed,thu,fri 08:00-18:00",
		"8h30m-17h15m,sat":                   "sat 08:30-17:15",
		"22h-6h,sun,mon,tue,wed,thu,fri,sat": "22:00-06:00",
		"0s-1d,sun,mon,tue,wed,thu,fri,sat":  "",
		"0s-1d,sun":                          "sun 00:00-24:00",
		"08:00:00-23:59:59":                  "08:00-24:00",
		"22h-6h,fri":                         "?",
		"8h-18h30s,mon":                      "?",
		"8h-8h":                              "?",
		"8h-18h,monday":                      "?",
		"1d-8h":                              "?",
	} {
		t.Run(text, func(t *testing.T) {
			got, ok := scheduleOf(text)
			if !ok {
				got = "?"
			}
			if got != want {
				t.Errorf("time=%s: %q, not %q", text, got, want)
			}
		})
	}
}
