package render

import (
	"fmt"
	"strings"
	"testing"

	"pbr/kernel/doctor"
)

func TestFindings(t *testing.T) {
	findings := []doctor.Finding{
		{Group: "kernel", Level: doctor.OK, Subject: "version", Text: "Linux 6.1"},
		{Group: "settings", Level: doctor.Fail, Subject: "rp_filter", Text: "wan1 has 1", Do: "sysctl -w\x1b[2J x"},
		{Group: "settings", Level: doctor.Warn, Subject: "x", Text: "y", Do: "z"},
	}
	for _, c := range []struct {
		name   string
		colour bool
		want   string
	}{
		{"in a file", false, `kernel
  ok    version    Linux 6.1
settings
  fail  rp_filter  wan1 has 1 - sysctl -w [2J x
  warn  x          y - z
1 ok, 1 warn, 1 fail
`},
		{"on a terminal in colour", true, "\x1b[1mkernel\x1b[m\n  \x1b[32mok\x1b[m    version    Linux 6.1\n\x1b[1msettings\x1b[m\n" +
			"  \x1b[31mfail\x1b[m  rp_filter  wan1 has 1 \x1b[36m-\x1b[m sysctl -w [2J x\n" +
			"  \x1b[33mwarn\x1b[m  x          y \x1b[36m-\x1b[m z\n1 ok, 1 warn, 1 fail\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b strings.Builder
			if err := Findings(&b, findings, c.colour, 0); err != nil || b.String() != c.want {
				t.Errorf("colour %v: %v\n got %q\nwant %q", c.colour, err, b.String(), c.want)
			}
		})
	}
}

// On a terminal no line is wider than it, and nothing is lost.
func TestFindingsOnTerminal(t *testing.T) {
	findings := []doctor.Finding{
		{Group: "kernel", Level: doctor.OK, Subject: "version", Text: "Linux 6.1"},
		{Group: "others", Level: doctor.Fail, Subject: "Tailscale", Text: strings.Repeat("what is wrong ", 12),
			Do: strings.Repeat("what to do ", 12)},
		{Group: "settings", Level: doctor.Warn, Subject: "forwarding of a long name", Text: strings.Repeat("text ", 30)},
	}
	for _, columns := range []int{40, 60, 80, 200} {
		t.Run(fmt.Sprint(columns, " columns"), func(t *testing.T) {
			var wide, narrow strings.Builder
			if err := Findings(&wide, findings, false, 0); err != nil {
				t.Fatal(err)
			}
			if err := Findings(&narrow, findings, false, columns); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(narrow.String()) {
				if len(strings.TrimSuffix(line, "\n")) > columns {
					t.Errorf("%d columns: too wide: %q", columns, line)
				}
			}
			if a, b := strings.Fields(wide.String()), strings.Fields(narrow.String()); strings.Join(a, " ") != strings.Join(b, " ") {
				t.Errorf("%d columns: other words:\n%s", columns, narrow.String())
			}
		})
	}
}
