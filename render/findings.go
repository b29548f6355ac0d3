package render

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"pbr/kernel/doctor"
)

// findingsIndent is where a finding's subject begins.
const findingsIndent = 8

// Findings writes what the doctor found, in aligned columns, a heading for each group:
//
//	settings
//	  ok    ip_forward  as it should be
//	  fail  rp_filter   wan1 has 1: the strict check drops ... - sysctl -w net.ipv4.conf.wan1.rp_filter=2
//
// Lines that are wider than columns are broken, and what to do stands on lines of its own; columns
// 0 breaks none.
func Findings(w io.Writer, findings []doctor.Finding, colour bool, columns int) error {
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
		subject, text, do := string(appendLine(nil, f.Subject)), string(appendLine(nil, f.Text)), string(appendLine(nil, f.Do))
		fmt.Fprintf(&b, "  %s%s%s%s", paint(tints[f.Level], string(f.Level)), strings.Repeat(" ", 6-len(f.Level)),
			subject, strings.Repeat(" ", width+2-utf8.RuneCountInString(f.Subject)))
		at := findingsIndent + width + 2
		fits := columns == 0 || at+utf8.RuneCountInString(text+" - "+do) <= columns
		if at > columns/2 {
			at = findingsIndent // for what comes behind the first line
		}
		switch {
		case fits && do == "":
			b.WriteString(text)
		case fits:
			fmt.Fprintf(&b, "%s %s %s", text, paint(cyan, "-"), do)
		default:
			if at == findingsIndent {
				b.WriteString("\n" + strings.Repeat(" ", at))
			}
			b.WriteString(Wrap(text, columns, at))
			if do != "" {
				fmt.Fprintf(&b, "\n%s%s %s", strings.Repeat(" ", at), paint(cyan, "-"), Wrap(do, columns, at+2))
			}
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%d ok, %d warn, %d fail\n", count[doctor.OK], count[doctor.Warn], count[doctor.Fail])
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing findings: %w", err)
	}
	return nil
}
