// Package integration proves on a real kernel what the rest of the project promises: its tests
// drive the pbr program from outside, on routers made of network namespaces, and ask nft, ip,
// conntrack and real packets what became of it.
package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// pbrPath is the program under test.
var pbrPath string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	path, remove, err := lab.Program()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	pbrPath = path
	return m.Run()
}

// router is a host with a policy file.
type router struct {
	*lab.Host
	file string
}

func newRouter(h *lab.Host) *router {
	return &router{Host: h, file: filepath.Join(h.T().TempDir(), "pbr.toml")}
}

// write replaces the policy file.
func (r *router) write(policy string) {
	r.T().Helper()
	if err := os.WriteFile(r.file, []byte(policy), 0o644); err != nil {
		r.T().Fatal(err)
	}
}

// pbr runs the program, whatever its exit status.
func (r *router) pbr(args ...string) lab.Result {
	r.T().Helper()
	return r.Exec(pbrPath, append([]string{"--config", r.file}, args...)...)
}

// must runs the program, which has to succeed, and returns its standard output.
func (r *router) must(args ...string) string {
	r.T().Helper()
	res := r.pbr(args...)
	if res.Code != 0 {
		policy, _ := os.ReadFile(r.file)
		r.T().Fatalf("pbr %s: exit status %d\n%s%s\nthe policy:\n%s", strings.Join(args, " "), res.Code, res.Stdout, res.Stderr, policy)
	}
	return res.Stdout
}

// apply makes a policy the router's.
func (r *router) apply(policy string) {
	r.T().Helper()
	r.write(policy)
	r.must("apply")
}

// inSync fails the test unless pbr diff finds nothing.
func (r *router) inSync() {
	r.T().Helper()
	if res := r.pbr("diff"); res.Code != 0 {
		r.T().Errorf("pbr diff: exit status %d\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
}
