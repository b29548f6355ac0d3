package render

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"pbr/kernel/doctor"
)

// Findings writes what the doctor found, in aligned columns, a heading for each group:
//
//	settings
//	  ok    ip_forward  as it should be
//	  fail  rp_filter   wan1 has 1: the strict check drops ... - sysctl -w net.ipv4.conf.wan1.rp_filter=2
func Findings(w io.Writer, findings []doctor.Finding, colour bool) error {
	paint := func(sequence, s string) string {
		if !colour {
			return s
		}
		return sequence + s + reset
	}
	tints := map[doctor.Level]string{doctor.OK: green, doctor.Warn: yellow, doctor.Fail: red}
	width := 0
	count := map[doctor.Level]int{}
	for _, f := range findings {
		width = max(width, utf8.RuneCountInString(f.Subject))
		count[f.Level]++
	}
	var b bytes.Buffer
	group := ""
	for _, f := range findings {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "%s\n", paint(bold, group))
		}
		fmt.Fprintf(&b, "  %s%s%s%s%s", paint(tints[f.Level], string(f.Level)), strings.Repeat(" ", 6-len(f.Level)),
			appendLine(nil, f.Subject), strings.Repeat(" ", width+2-utf8.RuneCountInString(f.Subject)), appendLine(nil, f.Text))
		if f.Do != "" {
			fmt.Fprintf(&b, " %s %s", paint(cyan, "-"), appendLine(nil, f.Do))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%d ok, %d warn, %d fail\n", count[doctor.OK], count[doctor.Warn], count[doctor.Fail])
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing findings: %w", err)
	}
	return nil
}
