package dataplane

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// What the documentation has of the measurements.
const (
	pageFile = "../../docs/performance.md"
	plotFile = "../../docs/performance.svg"

	// figures are between these lines of the page.
	figuresBegin, figuresEnd = "<!-- figures -->\n", "<!-- end of figures -->\n"
)

// document puts the tables into the page, and draws the plot.
func (res *results) document() error {
	page, err := os.ReadFile(pageFile)
	if err != nil {
		return fmt.Errorf("reading the page for the figures: %w", err)
	}
	head, rest, found := strings.Cut(string(page), figuresBegin)
	_, tail, ended := strings.Cut(rest, figuresEnd)
	if !found || !ended {
		return fmt.Errorf("%s has no lines %q and %q around the figures", pageFile, figuresBegin, figuresEnd)
	}
	var text, drawing bytes.Buffer
	res.write(&text)
	if err := res.plot().write(&drawing); err != nil {
		return fmt.Errorf("drawing %s: %w", plotFile, err)
	}
	whole := head + figuresBegin + "\n" + text.String() + figuresEnd + tail
	if err := os.WriteFile(pageFile, []byte(whole), 0o644); err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	if err := os.WriteFile(plotFile, drawing.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the plot: %w", err)
	}
	return nil
}
