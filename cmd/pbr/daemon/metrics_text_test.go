package daemon

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"pbr/healthcheck"
)

// again is what was parsed, as Prometheus' library gathers it.
type again []*dto.MetricFamily

func (again) Describe(chan<- *prometheus.Desc) {}

func (a again) Collect(to chan<- prometheus.Metric) {
	for _, f := range a {
		for _, m := range f.Metric {
			var names, values []string
			for _, l := range m.Label {
				names, values = append(names, l.GetName()), append(values, l.GetValue())
			}
			kind, value := prometheus.GaugeValue, m.GetGauge().GetValue()
			if f.GetType() == dto.MetricType_COUNTER {
				kind, value = prometheus.CounterValue, m.GetCounter().GetValue()
			}
			to <- prometheus.MustNewConstMetric(prometheus.NewDesc(f.GetName(), f.GetHelp(), names, nil), kind, value, values...)
		}
	}
}

// throughLibrary is a text as Prometheus' library reads and writes it.
func throughLibrary(t *testing.T, text []byte) []byte {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(again(slices.Collect(maps.Values(families))))
	gathered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, f := range gathered {
		if _, err := expfmt.MetricFamilyToText(&out, f); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func TestMetricsAreWrittenAsTheLibraryWritesThem(t *testing.T) {
	m := &metrics{}
	m.describe("z_total", "counter", `A \ backslash`+"\nand a second line, \"quoted\".")
	for _, v := range []string{"b", "a", "", "ü", `q"uo\te`, "two\nlines", "B", "a b"} {
		m.sample(1, "uplink", v, "kind", "x")
		m.sample(1, "kind", "w", "uplink", v)
	}
	m.describe("a_seconds", "gauge", "Numbers.")
	for _, v := range []float64{0, 1, -1, 0.25, 1e21, 1.7e9, 123456789.125, 1e-7, math.NaN(), math.Inf(1), math.Inf(-1), 1 << 53} {
		m.sample(v, "n", formatted(v))
	}
	m.describe("empty", "gauge", "None.")
	m.describe("one", "gauge", "One.")
	m.sample(1)
	m.sample(2, "bad", "\xff")
	t.Run("the library reads it and writes the same", func(t *testing.T) {
		if have, want := m.text(), throughLibrary(t, m.text()); !bytes.Equal(have, want) {
			t.Errorf("have\n%s\nwant\n%s", have, want)
		}
	})
	t.Run("what cannot be written is left out", func(t *testing.T) {
		if n := bytes.Count(m.text(), []byte("\n")); n != 16+12+1+3*2 {
			t.Errorf("%d lines of\n%s", n, m.text())
		}
	})
}

func formatted(v float64) string { return time.Duration(math.Float64bits(v) % 1e15).String() }

func TestReportIsWrittenAsTheLibraryWritesIt(t *testing.T) {
	r := Report{Since: time.Unix(1700000000, 5e8), Loaded: time.Unix(1700000001, 0), Use: &Use{
		Connections: map[string]int{"isp2": 2, "isp1": 100000}, Bytes: map[string]uint64{"isp1": 1 << 40},
		Hits:    map[string]uint64{"b": 1, "a": 2},
		Clients: map[[2]string]int{{"both", "isp2"}: 1, {"both", "isp1"}: 2},
		Active:  map[[2]string][]string{{"voip", "6"}: {"isp2", "isp1"}},
	}}
	for _, name := range []string{"isp2", "isp1"} {
		for _, version := range []healthcheck.Version{6, 4} {
			r.Uplinks = append(r.Uplinks, healthcheck.Status{UplinkVersion: healthcheck.UplinkVersion{Uplink: name, Version: version},
				State: healthcheck.Up, RTT: 12345 * time.Microsecond, Loss: 0.05})
		}
	}
	text := Metrics(r)
	if want := throughLibrary(t, text); !bytes.Equal(text, want) || bytes.Count(text, []byte("\n")) < 50 {
		t.Errorf("have\n%s\nwant\n%s", text, want)
	}
}
