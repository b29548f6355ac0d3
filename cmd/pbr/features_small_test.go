//go:build small

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSmallRefusesWhatIsNotBuiltIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pbr.toml")
	text := `[watch]
metrics = "127.0.0.1:9811"
notify = "https://ntfy.example.com/router"
web = "127.0.0.1:9810"
[lists]
fetched = { url = "https://example.com/list.txt" }
[[uplink]]
name = "isp1"
interface = "eth1"
gateway = "192.0.2.1"
check = { method = "http", targets = ["http://192.0.2.80/"] }
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	status := command{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}.main([]string{"pbr", "-c", file, "check"})
	t.Run("check fails for each", func(t *testing.T) {
		if status != exitError || strings.Count(errs.String(), "[not-built-in]") != 5 {
			t.Errorf("status %d\n%s", status, errs.String())
		}
	})
	t.Run("each has its place", func(t *testing.T) {
		for _, place := range []string{":2:11: ", ":3:10: ", ":4:7: ", ":6:19: ", ":11:20: "} {
			if !strings.Contains(errs.String(), file+place) {
				t.Errorf("nothing is said of %s in\n%s", place, errs.String())
			}
		}
	})
	t.Run("nothing says that a list will be fetched", func(t *testing.T) {
		if strings.Contains(errs.String(), "was not fetched yet") {
			t.Error(errs.String())
		}
	})
	t.Run("the version names what is left out", func(t *testing.T) {
		if v := thisBuild().String(); !strings.Contains(v,
			"\nnot built in: check-http graph import-routeros list-url metrics notify web zones") ||
			strings.Contains(strings.Split(v, "\n")[1], "web") {
			t.Errorf("version: %s", v)
		}
	})
}

func TestSmallCommandsThatAreLeftOut(t *testing.T) {
	for _, args := range [][]string{{"import", "routeros", "-"}, {"graph"},
		{"graph", "--offline", "--format", "svg"}, {"graph", "--json"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			var out, errs bytes.Buffer
			status := command{stdin: strings.NewReader("/interface\n"), stdout: &out, stderr: &errs}.main(append([]string{"pbr"}, args...))
			if text := errs.String(); status != exitError || !strings.Contains(text, "-tags small") ||
				!strings.HasSuffix(text, " [not-built-in]\n") || out.Len() > 0 {
				t.Errorf("status %d: %s%s", status, text, out.String())
			}
		})
	}
}

func TestSmallHelpSaysWhatIsLeftOut(t *testing.T) {
	for want, args := range map[string][]string{
		"tables and uplinks (not in this build)": {"help"},
		"standard input (not in this build)":     {"import", "--help"},
	} {
		t.Run(want, func(t *testing.T) {
			var out, errs bytes.Buffer
			command{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}.main(append([]string{"pbr"}, args...))
			if words := strings.Join(strings.Fields(out.String()), " "); strings.Count(words, want) != 1 ||
				strings.Count(words, "(not in this build)") != 1 {
				t.Errorf("%s%s", out.String(), errs.String())
			}
		})
	}
}

func TestSmallLinksNothingHeavy(t *testing.T) {
	out, err := exec.Command("go", "list", "-tags", "small", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if !slices.Contains(packages, "pbr/kernel") {
		t.Fatalf("go list saw next to nothing: %v", packages)
	}
	for _, heavy := range []string{"net/http", "crypto/tls", "text/template", "html/template", "github.com/urfave/cli/v2",
		"google.golang.org/protobuf/proto", "github.com/miekg/dns",
		"time/tzdata", "pbr/compiler/from/routeros", "pbr/render/graph", "github.com/vishvananda/netlink",
		"regexp", "math/big", "testing"} {
		t.Run(heavy, func(t *testing.T) {
			if slices.Contains(packages, heavy) {
				t.Errorf("%s is linked: leave out what needs it by the tag small, with a policy.Feature", heavy)
			}
		})
	}
}
