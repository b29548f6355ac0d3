package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What make says first where Go is missing or too old, with the command that helps.
func TestCheckGo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, version, toolchain string
		want                     []string
	}{
		{"the version of go.mod", "go1.26.0", "auto", nil},
		{"a newer one", "go1.27rc1", "local", nil},
		{"Debian 13", "go1.24.4", "auto", nil},
		{"not allowed to download", "go1.24.4", "local", []string{"GOTOOLCHAIN=local", "unset GOTOOLCHAIN"}},
		{"Debian 12", "go1.19.8", "auto", []string{"Go 1.19.8 is too old", "Go 1.21", "bookworm-backports golang-go"}},
		{"none", "", "", []string{"not found", "apt-get install golang-go", "https://go.dev/dl"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(t.TempDir(), "go")
			if c.version != "" {
				script := "#!/bin/sh\n[ \"$1\" = env ] && echo " + c.toolchain + " || echo go version " + c.version + " linux/amd64\n"
				if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command("sh", "check-go.sh", program).CombinedOutput()
			if (err != nil) != (c.want != nil) {
				t.Errorf("error %v, output %q", err, out)
			}
			for _, want := range c.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("%q is not in %q", want, out)
				}
			}
		})
	}
}
