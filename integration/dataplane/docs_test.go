package dataplane

import (
	"bytes"
	"fmt"
	"os"

	"pbr/integration/page"
	"pbr/render/plot"
)

// What the documentation has of the measurements.
const (
	pageFile = "../../docs/performance.md"
	plotFile = "../../docs/performance.svg"
	barsFile = "../../docs/performance-bars.svg"
)

// document puts the tables into the page, and draws plot and bars; those of the steps have a place
// of their own, and no plot.
func (res *results) document(steps bool) error {
	var tables, drawing bytes.Buffer
	res.write(&tables)
	if steps {
		return page.Insert(pageFile, "steps", tables.Bytes())
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
	return page.Insert(pageFile, "figures", tables.Bytes())
}
