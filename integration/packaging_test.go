package integration

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

const unitDir = "../packaging/systemd"

var boundPattern = regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`)

// systemd itself finds nothing wrong with the units.
func TestUnitsAreValid(t *testing.T) {
	t.Parallel()
	lab.NeedProgram(t, "systemd-analyze")
	dir := t.TempDir()
	args := []string{"verify", "--man=no"}
	for _, name := range []string{"pbr.service", "pbr-apply.service", "pbr-dnsmasq.path", "pbr-dnsmasq.service"} {
		unit, err := os.ReadFile(filepath.Join(unitDir, name))
		if err != nil {
			t.Fatal(err)
		}
		// Where pbr is not installed, its path would be an error.
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(unit), "/usr/sbin/pbr", pbrPath)), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	if out, err := exec.Command("systemd-analyze", args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// The service of the NixOS module has the settings of the unit.
func TestNixOSModuleHasTheUnitsSettings(t *testing.T) {
	t.Parallel()
	unit, module := readFile(t, filepath.Join(unitDir, "pbr.service")), readFile(t, "../packaging/nixos/module.nix")
	_, unit, _ = strings.Cut(unit, "\n[Service]\n")
	unit, _, _ = strings.Cut(unit, "\n[Install]\n")
	_, module, found := strings.Cut(module, "serviceConfig = {\n")
	module, _, _ = strings.Cut(module, "\n      };")
	want, have := map[string][]string{}, map[string][]string{}
	for line := range strings.Lines(unit) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			want[key] = append(want[key], value)
		}
	}
	nix := strings.NewReplacer("${cfg.package}/bin/", "/usr/sbin/", "true", "yes")
	for line := range strings.Lines(module) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " = "); ok && !strings.HasPrefix(key, "#") {
			value = nix.Replace(strings.TrimSuffix(value, ";"))
			if list, ok := strings.CutPrefix(value, "[ "); ok {
				have[key] = strings.Fields(strings.ReplaceAll(strings.TrimSuffix(list, " ]"), `"`, ""))
				continue
			}
			have[key] = []string{strings.Trim(value, `"`)}
		}
	}
	if !found || len(want) < 20 || !maps.EqualFunc(want, have, slices.Equal) {
		t.Errorf("pbr.service has\n%v\nthe module\n%v", want, have)
	}
}

// The capabilities that the unit leaves are enough for all that the daemon does: probes of each
// kind, routes, marks, settings, flushes.
func TestUnitsCapabilitiesAreEnough(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile(filepath.Join(unitDir, "pbr.service"))
	if err != nil {
		t.Fatal(err)
	}
	found := boundPattern.FindSubmatch(unit)
	if found == nil {
		t.Fatal("pbr.service bounds no capabilities")
	}
	var bound []string
	for _, c := range strings.Fields(string(found[1])) {
		bound = append(bound, "+"+strings.ToLower(strings.TrimPrefix(c, "CAP_")))
	}
	policy := strings.Replace("[pbr]\nsysctl = true\n"+watchPolicy, `check = { method = "ping", targets = "9.9.9.9" }`, `check = "arp"`, 1)
	w := newWatched(t, policy, 2)
	w.wrap = []string{"setpriv", "--no-new-privs", "--bounding-set=-all," + strings.Join(bound, ",")}
	step := steps.Of(t)
	step.Run("an uplink that dies is left", func(t *testing.T) {
		w.start()
		w.waitState("isp1", "up")
		w.waitState("isp2", "up")
		first := w.calls(2, byDefault, "isp1")
		w.silence("isp1")
		w.waitState("isp1", "down")
		w.waitArrives(byDefault, "isp2")
		if n := first.broken(); n != 2 {
			t.Errorf("%d of 2 connections by the dead provider were flushed", n)
		}
	})
	step.Run("what others changed is repaired", func(t *testing.T) {
		w.Router.Run("nft", "delete", "table", "inet", "pbr")
		w.logged("somebody else changed")
		w.router.inSync()
	})
	step.Run("settings are written", func(t *testing.T) {
		if v := w.Router.ReadSysctl("net/ipv4/conf/wan1/rp_filter"); v != "2" {
			t.Errorf("rp_filter is %s", v)
		}
	})
	step.Run("nothing is refused", func(t *testing.T) {
		for _, level := range []string{"level=ERROR", "probes cannot be sent"} {
			if line := w.logLine(level); line != "" {
				t.Errorf("with %v: %s", bound, line)
			}
		}
	})
}
