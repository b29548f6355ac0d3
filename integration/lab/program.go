package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ProgramEnv names a pbr program to test instead of building one.
const ProgramEnv = "PBR_BINARY"

// Program returns the pbr program to test: the one that ProgramEnv names, or one that is built from
// the source. remove removes what was built.
func Program() (path string, remove func(), err error) {
	if path = os.Getenv(ProgramEnv); path != "" {
		return path, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "pbr-test-")
	if err != nil {
		return "", nil, fmt.Errorf("building pbr: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) }
	path = filepath.Join(dir, "pbr")
	if out, err := exec.Command("go", "build", "-o", path, "pbr/cmd/pbr").CombinedOutput(); err != nil {
		remove()
		return "", nil, fmt.Errorf("building pbr: %w\n%s", err, out)
	}
	return path, remove, nil
}
