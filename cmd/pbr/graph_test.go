package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"pbr/render/graph"
)

// graphPicture is the picture of docs/graph.md.
const graphPicture = "../../docs/graph.svg"

func graphOf(t *testing.T, code int, args ...string) (out, said string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := command{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr}
	if got := c.main(append([]string{"pbr", "--config", "../../integration/demo/policy.toml", "graph", "--offline"},
		args...)); got != code {
		t.Fatalf("pbr graph %q: exit status %d\n%s", args, got, &stderr)
	}
	return stdout.String(), stderr.String()
}

func TestGraphPicture(t *testing.T) {
	got, _ := graphOf(t, exitOK, "--format", "svg")
	if *update {
		if err := os.WriteFile(graphPicture, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(graphPicture)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != got {
		t.Errorf("%s is not what pbr graph draws: run make golden", graphPicture)
	}
}

func TestGraphFormats(t *testing.T) {
	t.Run("text is what it draws by default", func(t *testing.T) {
		text, _ := graphOf(t, exitOK)
		if again, _ := graphOf(t, exitOK, "--format", "text"); again != text ||
			!strings.Contains(text, "policy phone\n╚══> table calls\n") {
			t.Errorf("text:\n%s", text)
		}
	})
	t.Run("dot", func(t *testing.T) {
		if dot, _ := graphOf(t, exitOK, "--format", "dot"); !strings.HasPrefix(dot, "digraph pbr {\n") {
			t.Errorf("dot:\n%s", dot)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		var g graph.Graph
		if out, _ := graphOf(t, exitOK, "--json"); json.Unmarshal([]byte(out), &g) != nil || g.Live || g.Node("uplink/isp2") == nil {
			t.Errorf("JSON: %+v", g)
		}
	})
	t.Run("a format that does not exist is refused, with those that do", func(t *testing.T) {
		if _, said := graphOf(t, exitError, "--format", "png"); !strings.Contains(said, `there is no format "png": use svg, dot or text`) {
			t.Error(said)
		}
	})
	t.Run("JSON is a format of its own", func(t *testing.T) {
		if _, said := graphOf(t, exitError, "--json", "--format", "dot"); !strings.Contains(said, "exclude each other") {
			t.Error(said)
		}
	})
}
