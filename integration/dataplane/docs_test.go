package dataplane

import (
	"bytes"
	"fmt"
	"os"

	"pbr/render/plot"
)

// What the documentation has of the measurements.
const (
	pageFile = "../../docs/performance.md"
	plotFile = "../../docs/performance.svg"
	barsFile = "../../docs/performance-bars.svg"
)

// document puts the tables into the page, and draws plot and bars; those of the steps have a place of
// their own, and no plot.
func (res *results) document(steps bool) error {
	var tables, drawing bytes.Buffer
	res.write(&tables)
	if steps {
		return insert("steps", tables.Bytes())
	}
	for file, picture := range map[string]plot.Picture{plotFile: res.plot(), barsFile: res.bars()} {
		drawing.Reset()
		if err := picture.Write(&drawing); err != nil {
			return fmt.Errorf("drawing %s: %w", file, err)
		}
		if err := os.WriteFile(file, drawing.Bytes(), 0o644); err != nil {
			return fmt.Errorf("writing a picture: %w", err)
		}
	}
	return insert("figures", tables.Bytes())
}

// insert puts text between the page's lines "<!-- NAME -->" and "<!-- end of NAME -->".
func insert(name string, text []byte) error {
	page, err := os.ReadFile(pageFile)
	if err != nil {
		return fmt.Errorf("reading the page for the figures: %w", err)
	}
	begin, end := []byte("<!-- "+name+" -->\n"), []byte("<!-- end of "+name+" -->\n")
	head, rest, found := bytes.Cut(page, begin)
	_, tail, ended := bytes.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s lacks the line %q or %q", pageFile, begin, end)
	}
	whole := bytes.Join([][]byte{head, begin, []byte("\n"), text, end, tail}, nil)
	if err := os.WriteFile(pageFile, whole, 0o644); err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	return nil
}
