package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pbr/integration/lab"
)

var metricName = regexp.MustCompile(`\bpbr_[a-z_]+`)

// Every metric that the dashboard and the alerts name is in a live scrape, and every one of the
// scrape is explained in the documentation. With promtool (make test-prometheus), it finds nothing
// wrong with the alerts, with what they do, and with the scrape.
func TestDashboardsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy+"[watch]\nmetrics = \"127.0.0.1:9811\"\n", 2)
	w.waitState("isp1", "up")
	w.waitState("isp2", "up")
	_, scrape, _ := strings.Cut(w.metrics("127.0.0.1:9811"), "\r\n\r\n")
	there := map[string]bool{}
	for _, name := range metricName.FindAllString(scrape, -1) {
		there[name] = true
	}
	if len(there) < 15 {
		t.Fatalf("the scrape has %d metrics:\n%s", len(there), scrape)
	}
	for _, file := range []string{"../packaging/grafana/pbr.json", "../packaging/prometheus/alerts.yml",
		"../packaging/prometheus/alerts_test.yml"} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text := readFile(t, file)
			names := metricName.FindAllString(text, -1)
			if len(names) == 0 {
				t.Errorf("%s names no metric", file)
			}
			for _, name := range names {
				if !there[name] {
					t.Errorf("%s: there is no metric %s", file, name)
				}
			}
		})
	}
	for name := range there {
		if !strings.Contains(readFile(t, "../docs/watch.md"), "`"+name+"`") {
			t.Errorf("docs/watch.md does not explain %s", name)
		}
	}
	if os.Getenv("PBR_PROMTOOL") == "" {
		return
	}
	lab.NeedProgram(t, "promtool")
	promtool(t, "", "check", "rules", "../packaging/prometheus/alerts.yml")
	promtool(t, "", "test", "rules", "../packaging/prometheus/alerts_test.yml")
	promtool(t, scrape, "check", "metrics")
}

func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.Command("promtool", args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
