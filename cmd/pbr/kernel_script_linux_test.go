package main

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"pbr/integration/lab"
)

// Each script of testdata/kernel has a router of its own, a network namespace with the interfaces
// wan1, wan2 and lan. "on pbr apply" runs pbr there, "status 2 on pbr diff" wants an exit status.
func TestKernelScripts(t *testing.T) {
	routers := lab.New(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/kernel",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": statusCommand, "on": onCommand},
		Setup: func(env *testscript.Env) error {
			router := routers.Host(filepath.Base(env.WorkDir))
			for _, name := range []string{"wan1", "wan2", "lan"} {
				router.IP("link add "+name+" type veth peer name far-"+name, "link set "+name+" up", "link set far-"+name+" up")
			}
			router.IP("addr add 192.0.2.2/30 dev wan1", "addr add 198.51.100.2/30 dev wan2", "addr add 192.168.1.1/24 dev lan")
			env.Setenv(routerVariable, router.NS)
			setScriptEnv(env)
			return nil
		},
	})
}

// onCommand is "on PROGRAM ARG...": the program runs on the script's router and must succeed.
func onCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: on PROGRAM ARG...")
	}
	program := onRouter(ts, args)
	ts.Check(ts.Exec(program[0], program[1:]...))
}
