package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, p Picture) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(b.Bytes())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return b.String()
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, &b)
		}
	}
}

func TestChart(t *testing.T) {
	from := time.Date(2026, 3, 1, 12, 7, 0, 0, time.FixedZone("", 3600))
	nan := math.NaN()
	c := Chart{
		Label: `round trip of "isp1" <now>`, Width: 400, Height: 120, From: from, To: from.Add(time.Hour), AtLeast: 10,
		Unit:   func(v float64) string { return fmt.Sprintf("%g ms", v) },
		Series: []Series{{Class: "rtt", Colour: "#0072b2", Fill: true, Values: []float64{1, 2, nan, 30, nan}}},
		Events: []Event{{from.Add(30 * time.Minute), "down: no answer & more", "down"}, {from.Add(-time.Minute), "before", ""}},
	}
	got := write(t, c.Picture())
	t.Run("it has the label, the scales, the marks and the points", func(t *testing.T) {
		for _, part := range []string{
			`aria-label="round trip of &#34;isp1&#34; &lt;now&gt;"`, ">12:15<", ">13:00<", ">50 ms<", ">25 ms<", ">0 ms<",
			`class="mark down"`, "down: no answer &amp; more", `points="64,98.2 145,96.3 "`, `<circle cx="307"`,
		} {
			if !strings.Contains(got, part) {
				t.Errorf("no %s in\n%s", part, got)
			}
		}
	})
	t.Run("it has nothing of before, and no value that is none", func(t *testing.T) {
		if strings.Contains(got, "before") || strings.Contains(got, "NaN") {
			t.Error(got)
		}
	})
	t.Run("a bare one has no texts", func(t *testing.T) {
		c.Bare = true
		if bare := write(t, c.Picture()); strings.Contains(bare, "<text") || strings.Contains(bare, "grid") {
			t.Error(bare)
		}
	})
}

// A chart without a value, and one of no height, are pictures anyway.
func TestEmptyChart(t *testing.T) {
	now := time.Now()
	for _, values := range [][]float64{nil, {math.NaN()}, {0, 0}, {math.Inf(1)}} {
		t.Run(fmt.Sprint(values), func(t *testing.T) {
			got := write(t, Chart{From: now.Add(-time.Hour), To: now, Width: 100, Height: 40, Bare: true,
				Series: []Series{{Values: values}}}.Picture())
			if strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
				t.Errorf("%v: %s", values, got)
			}
		})
	}
}

func TestCeil(t *testing.T) {
	for v, want := range map[float64]float64{0: 1, 0.3: 0.5, 1: 1, 1.1: 2, 20: 20, 21: 50, 51: 100, 1e9: 1e9} {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			if got := Ceil(v); math.Abs(got-want) > want/1e6 {
				t.Errorf("Ceil(%g) is %g, not %g", v, got, want)
			}
		})
	}
}

func TestSpark(t *testing.T) {
	nan := math.NaN()
	for name, c := range map[string]struct {
		values []float64
		top    float64
		want   string
	}{
		"a value above the top is a full block, none is a blank": {[]float64{0, 1, 4, 8, nan, 100}, 8, "▁▁▄█ █"},
		"without a top all are low":                              {[]float64{0, 0}, 0, "▁▁"},
		"without values":                                         {nil, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Spark(c.values, c.top); got != c.want {
				t.Errorf("%v: %q, not %q", c.values, got, c.want)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	from := time.Date(2026, 3, 1, 12, 7, 0, 0, time.UTC)
	if got := times(from, from.Add(24*time.Hour), 6); len(got) != 6 || got[0].Hour() != 16 {
		t.Error(got)
	}
}
