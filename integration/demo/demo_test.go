// Package demo shows pbr at work: a small internet of network namespaces, real connections through
// a router in it, and for each the way it took. What it shows it also checks, so that it is a test
// too.
package demo

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"pbr/integration/lab"
)

//go:embed policy.toml
var policyText string

// program is the pbr that is shown.
var program string

// stdout is where the show goes.
var stdout = os.Stdout

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	path, remove, err := lab.Program()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	program = path
	return quietly(m)
}

// quietly runs the tests and keeps what package testing says of them, unless one fails: an audience
// has no use for it.
func quietly(m *testing.M) int {
	said, err := os.CreateTemp("", "pbr-demo-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.Remove(said.Name())
	defer said.Close()
	os.Stdout = said
	code := m.Run()
	os.Stdout = stdout
	if code == 0 && !testing.Verbose() {
		return 0
	}
	if _, err := said.Seek(0, io.SeekStart); err == nil {
		_, _ = io.Copy(stdout, said)
	}
	return code
}

func TestDemo(t *testing.T) {
	s := newShow(t)
	lab.WaitFor(t, "the tunnel's IPv6 address", func() bool {
		return strings.Contains(s.Router.Run("ip", "-6", "addr", "show", "dev", "tun0"), "fe80::") &&
			s.Router.Run("ip", "-6", "addr", "show", "tentative") == ""
	})
	before := s.state()

	s.title("The network")
	s.print(picture)

	s.title("The policy")
	s.print(policyText)

	s.title("Is it right?")
	s.command("check", 0)

	s.title("Make the kernel match it")
	s.command("apply", 0)
	s.learnMarks()

	s.title("Connections, as they really went")
	s.say("Each is opened in the network above, answered by its far end, and looked up in the router's connection table.")
	s.connections(usual)

	s.title("Does the kernel hold what the policy says? Silence means yes")
	s.command("diff", 0)

	s.title("isp2's cable is pulled")
	s.say("No daemon is at work: the routes of the next distance are in the kernel already.")
	s.unplug("isp2")
	s.connections(withoutISP2)

	s.title("The tunnel goes down")
	s.say("Its table is strict: what belongs into the tunnel gets an error at once, and never leaves through another line.")
	s.unplug("vpn")
	s.connections(withoutVPN)

	s.title("A line dies behind its gateway, and pbr watch is at work")
	s.failover()

	s.title("Take it all away")
	s.command("flush", 0)
	s.nothingLeft(before)
}
